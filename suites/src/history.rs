//! Histories for clones: samples at chosen instants, made into TSDB blocks by the server's own tool.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use harness::case::{CaseError, Context};
use harness::component::prometheus::{Block, Prometheus};
use harness::wait::{Look, Wait};

/// Longest the server's tool may take to make blocks of a case's history.
const BOUND: Duration = Duration::from_secs(60);

/// One series of a history.
#[derive(Debug, Clone)]
pub struct Line {
    /// The series, as an exposition writes it: `name{label="value"}`.
    pub series: String,
    /// (unix milliseconds, value), growing.
    pub samples: Vec<(i64, f64)>,
}

impl Line {
    /// A series with the same value at each of the instants.
    pub fn constant(series: impl Into<String>, value: f64, at: impl IntoIterator<Item = i64>) -> Self {
        Self {
            series: series.into(),
            samples: at.into_iter().map(|ms| (ms, value)).collect(),
        }
    }
}

/// The history as OpenMetrics text, series of one family together as the format asks.
fn open_metrics(lines: &[Line]) -> String {
    let family = |line: &Line| line.series.split('{').next().unwrap_or_default().to_owned();
    let mut lines: Vec<&Line> = lines.iter().collect();
    lines.sort_by_key(|line| family(line));
    let (mut text, mut last) = (String::new(), String::new());
    for line in lines {
        let family = family(line);
        if family != last {
            let _ = writeln!(text, "# TYPE {family} gauge");
            last = family;
        }
        for (ms, value) in &line.samples {
            let _ = writeln!(
                text,
                "{} {value} {}.{:03}",
                line.series,
                ms.div_euclid(1000),
                ms.rem_euclid(1000)
            );
        }
    }
    text.push_str("# EOF\n");
    text
}

/// Makes the history into blocks of two hours each in a folder that can become a clone's data.
///
/// Blocks are aligned to two hours, and a block's end is its last sample + 1 ms (`promtool tsdb
/// create-blocks-from openmetrics`, Prometheus 3.16).
pub async fn blocks(context: &Context, name: &str, lines: &[Line]) -> Result<PathBuf, CaseError> {
    let folder = context.stack.workshop.scratch(name)?;
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("history.om"), open_metrics(lines))?;
    let arguments = ["tsdb", "create-blocks-from", "openmetrics", "history.om", "data"];
    let made = context
        .stack
        .workshop
        .tool(
            "promtool",
            arguments.map(str::to_owned).to_vec(),
            folder.clone(),
            BOUND,
        )
        .await?;
    if made.code != Some(0) {
        return Err(CaseError::Environment(format!(
            "promtool cannot make blocks of the history {name}: {}",
            made.stderr.trim()
        )));
    }
    Ok(folder.join("data"))
}

/// The blocks that are left, oldest first, once retention has been applied.
///
/// Expired blocks are deleted while blocks are reloaded, all in one pass (`reloadBlocks`, Prometheus
/// 3.16, tsdb/db.go), so two further reloads are the event after which nothing more would go.
pub async fn after_reloads(server: &Prometheus) -> Result<Vec<Block>, CaseError> {
    const RELOADS: &str = "prometheus_tsdb_reloads_total";
    let before = server
        .own_metrics()
        .await?
        .get(RELOADS)
        .copied()
        .unwrap_or_default();
    Wait::new("two reloads of blocks", Duration::from_secs(20))
        .every(Duration::from_millis(100))
        .until(async || match server.own_metrics().await {
            Err(error) => Look::Missing(error.to_string()),
            Ok(metrics) => match metrics.get(RELOADS) {
                Some(reloads) if *reloads >= before + 2.0 => Look::Ready(()),
                reloads => Look::Missing(format!("{RELOADS} is {reloads:?} after {before}")),
            },
        })
        .await
        .map_err(|error| CaseError::Environment(error.to_string()))?;
    Ok(server.blocks().await?)
}

/// Now, in unix milliseconds.
#[must_use]
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Unix milliseconds as the seconds that queries and drawings take.
#[must_use]
pub fn seconds(ms: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "unix milliseconds are far below 2^52")]
    let ms = ms as f64;
    ms / 1000.0
}

/// A duration in whole milliseconds, as timestamps count.
#[must_use]
pub fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_stand_together_and_instants_keep_their_milliseconds() {
        let lines = [
            Line::constant("b{x=\"1\"}", 2.0, [1_999]),
            Line::constant("a", 1.0, [1_000]),
            Line::constant("b{x=\"2\"}", 2.5, [5]),
        ];
        assert_eq!(
            open_metrics(&lines),
            "# TYPE a gauge\na 1 1.000\n# TYPE b gauge\nb{x=\"1\"} 2 1.999\nb{x=\"2\"} 2.5 0.005\n# EOF\n"
        );
    }
}
