//! What pods say that they emitted, and all of them together. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::job::Emission;
use crate::seed::Seed;

/// Why it is not known what was emitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutcomeError {
    /// A pod's log has no report.
    #[error("{last}: the pod {pod} ended without a report of what it emitted")]
    Silent {
        /// The pod.
        pod: String,
        /// Its last words.
        last: String,
    },
    /// A pod's report cannot be read.
    #[error("{why}: the report of pod {pod} cannot be read")]
    Strange {
        /// The pod.
        pod: String,
        /// Why.
        why: String,
    },
    /// There are not as many reports as pods.
    #[error("{have} of {wanted} pods have left a report: nobody knows what the others emitted")]
    Fewer {
        /// How many there are.
        have: usize,
        /// How many there should be.
        wanted: u16,
    },
}

/// What one pod emitted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PodEmitted {
    /// The pod.
    pub pod: String,
    /// How many samples, spans or records were acknowledged.
    pub acknowledged: u64,
    /// What all reports have.
    pub figures: Figures,
    /// The whole report, as `conform emit` prints it.
    pub report: Value,
}

/// What the reports of all generators have. Each has more, which is why other fields are none of its errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The generator's seed.
    pub seed: Seed,
    /// Requests sent.
    pub requests: u64,
    /// Things that were refused.
    pub refused: u64,
    /// Things of requests without an answer.
    pub unanswered: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Seconds that it took.
    pub seconds: f64,
    /// CPU seconds that the generator spent.
    pub cpu_seconds: f64,
    /// Things per second that were acknowledged.
    pub achieved_rate: f64,
}

impl PodEmitted {
    /// Reads a pod's log, whose last line in braces is the report.
    pub fn read(pod: &str, log: &str, emission: &Emission) -> Result<Self, OutcomeError> {
        let strange = |why: String| OutcomeError::Strange {
            pod: pod.to_owned(),
            why,
        };
        let mut lines = log.lines().rev().map(str::trim);
        let line = lines
            .find(|line| line.starts_with('{'))
            .ok_or_else(|| OutcomeError::Silent {
                pod: pod.to_owned(),
                last: log
                    .lines()
                    .rev()
                    .map(str::trim)
                    .find(|line| !line.is_empty())
                    .unwrap_or("it says nothing")
                    .to_owned(),
            })?;
        let report: Value = serde_json::from_str(line).map_err(|error| strange(error.to_string()))?;
        let figures = Figures::deserialize(&report).map_err(|error| strange(error.to_string()))?;
        let acknowledged = report
            .pointer(emission.acknowledged)
            .and_then(Value::as_u64)
            .ok_or_else(|| strange(format!("it has no number at {}", emission.acknowledged)))?;
        Ok(Self {
            pod: pod.to_owned(),
            acknowledged,
            figures,
            report,
        })
    }
}

/// What was emitted in a cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Emitted {
    /// What the things are: samples, spans or records.
    pub things: &'static str,
    /// The whole load's seed, which gives the same again from as many pods.
    pub seed: Seed,
    /// How many things were acknowledged.
    pub acknowledged: u64,
    /// Things that were refused.
    pub refused: u64,
    /// Things of requests without an answer.
    pub unanswered: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Seconds that the slowest pod took.
    pub seconds: f64,
    /// CPU seconds that all generators spent.
    pub cpu_seconds: f64,
    /// Things per second that were acknowledged, of all pods together.
    pub achieved_rate: f64,
    /// Things acknowledged per CPU second of the generators.
    pub per_cpu_second: f64,
    /// The pods.
    pub pods: Vec<PodEmitted>,
}

impl Emitted {
    /// All pods together.
    pub fn of(emission: &Emission, pods: Vec<PodEmitted>) -> Result<Self, OutcomeError> {
        if pods.len() != usize::from(emission.pods) {
            return Err(OutcomeError::Fewer {
                have: pods.len(),
                wanted: emission.pods,
            });
        }
        let sum = |of: fn(&Figures) -> u64| pods.iter().map(|pod| of(&pod.figures)).sum();
        let total = |of: fn(&Figures) -> f64| pods.iter().map(|pod| of(&pod.figures)).sum::<f64>();
        let acknowledged = pods.iter().map(|pod| pod.acknowledged).sum::<u64>();
        let cpu_seconds = total(|figures| figures.cpu_seconds);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let per_cpu_second = if cpu_seconds > 0.0 {
            acknowledged as f64 / cpu_seconds
        } else {
            0.0
        };
        Ok(Self {
            things: emission.things,
            seed: emission.seed,
            acknowledged,
            refused: sum(|figures| figures.refused),
            unanswered: sum(|figures| figures.unanswered),
            bytes: sum(|figures| figures.bytes),
            seconds: pods.iter().map(|pod| pod.figures.seconds).fold(0.0, f64::max),
            cpu_seconds,
            achieved_rate: total(|figures| figures.achieved_rate),
            per_cpu_second,
            pods,
        })
    }

    /// Whether everything was acknowledged.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.refused == 0 && self.unanswered == 0
    }
}

impl fmt::Display for Emitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let things = self.things;
        writeln!(
            f,
            "{} {things} acknowledged by {} pods in {:.1} s (seed {})",
            self.acknowledged,
            self.pods.len(),
            self.seconds,
            self.seed
        )?;
        writeln!(f, "rate      {:.0} {things}/s", self.achieved_rate)?;
        writeln!(
            f,
            "generator {:.2} CPU s, {:.0} {things} per CPU s",
            self.cpu_seconds, self.per_cpu_second
        )?;
        for pod in &self.pods {
            writeln!(
                f,
                "          {}: {} {things} in {:.1} s, {:.2} CPU s, {} requests, seed {}",
                pod.pod,
                pod.acknowledged,
                pod.figures.seconds,
                pod.figures.cpu_seconds,
                pod.figures.requests,
                pod.figures.seed
            )?;
        }
        if !self.complete() {
            writeln!(
                f,
                "failed    {} {things} refused, {} without an answer",
                self.refused, self.unanswered
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn emission(pods: u16) -> Emission {
        Emission {
            name: "conform-emit-logs-1".to_owned(),
            namespace: "default".to_owned(),
            image: "localhost/conform:0.1.0".to_owned(),
            command: "logs",
            arguments: Vec::new(),
            pods,
            seed: Seed(1),
            deadline: Duration::from_secs(60),
            acknowledged: "/ledger/total/records",
            things: "records",
        }
    }

    fn log(records: u64, refused: u64) -> String {
        let report = json!({
            "way": "bulk", "seed": "00000000000000ff", "ledger": {"total": {"records": records}},
            "requests": 3, "refused": refused, "unanswered": 0, "bytes": 1000, "seconds": 2.0,
            "cpu_seconds": 0.5, "achieved_rate": 100.0,
        });
        format!("generator: begins\n{report}\n")
    }

    #[test]
    fn pods_are_added_up() {
        let emission = emission(2);
        let read = |pod: &str, log: &str| PodEmitted::read(pod, log, &emission).unwrap();
        let pods = vec![read("emit-0-a", &log(200, 0)), read("emit-1-b", &log(199, 1))];
        let emitted = Emitted::of(&emission, pods).unwrap();
        assert!(!emitted.complete());
        insta::assert_snapshot!(emitted);
        insta::assert_json_snapshot!(emitted, {".pods[].report" => "[the pod's own]"});
    }

    #[rstest]
    #[case::that_failed(
        "conform: no route to host\n\n",
        "conform: no route to host: the pod p ended without a report"
    )]
    #[case::that_says_nothing("", "it says nothing: the pod p ended without a report")]
    #[case::that_was_cut_off("{\"seed\":", "EOF while parsing")]
    #[case::of_another_program("{\"seed\": \"1\"}", "missing field `requests`")]
    fn a_pod_without_a_report_is_told(#[case] log: &str, #[case] words: &str) {
        let error = PodEmitted::read("p", log, &emission(1)).unwrap_err().to_string();
        assert!(error.starts_with(words), "{error}");
    }

    #[test]
    fn pods_that_are_missing_are_no_small_load() {
        let error = Emitted::of(&emission(2), Vec::new()).unwrap_err().to_string();
        assert!(error.starts_with("0 of 2 pods have left a report"), "{error}");
    }
}
