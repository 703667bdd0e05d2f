//! What the API's answers look like (Prometheus v3, `web/api/v1`), and their reading into the client's words.
//!
//! Members the harness does not use are left out, and newer servers may add some, so unknown
//! members are no error here.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{ActiveAlert, ActiveTarget, Block, Labels, LoadedRule, Sample, Series};
use crate::component::instant::unix_seconds;

/// The envelope of every successful answer. An unsuccessful one has another HTTP status.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<T> {
    pub(super) data: T,
}

#[derive(Debug, Deserialize)]
pub(super) struct BuildInfo {
    pub(super) version: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Config {
    pub(super) yaml: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Snapshot {
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Alertmanagers {
    #[serde(rename = "activeAlertmanagers")]
    pub(super) active: Vec<AlertmanagerUrl>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AlertmanagerUrl {
    pub(super) url: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Blocks {
    pub(super) blocks: Vec<BlockMeta>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BlockMeta {
    ulid: String,
    min_time: i64,
    max_time: i64,
    stats: BlockStats,
}

/// Counts that are zero are left out by the server.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockStats {
    #[serde(default)]
    num_samples: u64,
    #[serde(default)]
    num_series: u64,
}

impl From<BlockMeta> for Block {
    fn from(meta: BlockMeta) -> Self {
        Self {
            ulid: meta.ulid,
            min_time: meta.min_time,
            max_time: meta.max_time,
            samples: meta.stats.num_samples,
            series: meta.stats.num_series,
        }
    }
}

/// An instant with a value as printed.
type Point = (f64, String);
/// An instant with a native histogram.
type HistogramPoint = (f64, Value);

/// The result of a query.
#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
pub(super) enum Result {
    Vector(Vec<VectorElement>),
    Matrix(Vec<MatrixElement>),
    Scalar(Point),
    String(Point),
}

#[derive(Debug, Deserialize)]
pub(super) struct VectorElement {
    metric: Labels,
    value: Option<Point>,
    histogram: Option<HistogramPoint>,
}

#[derive(Debug, Deserialize)]
pub(super) struct MatrixElement {
    metric: Labels,
    #[serde(default)]
    values: Vec<Point>,
    #[serde(default)]
    histograms: Vec<HistogramPoint>,
}

impl Result {
    pub(super) fn samples(self) -> std::result::Result<Vec<Sample>, String> {
        match self {
            Self::Vector(elements) => elements.into_iter().map(VectorElement::sample).collect(),
            Self::Scalar((at, value)) | Self::String((at, value)) => Ok(vec![Sample {
                labels: Labels::new(),
                at,
                value,
                histogram: None,
            }]),
            Self::Matrix(_) => {
                Err("the expression gives a range vector where an instant vector is asked for".into())
            }
        }
    }

    pub(super) fn series(self) -> std::result::Result<Vec<Series>, String> {
        match self {
            Self::Matrix(elements) => Ok(elements
                .into_iter()
                .map(|element| Series {
                    labels: element.metric,
                    samples: element.values,
                    histograms: element.histograms,
                })
                .collect()),
            Self::Vector(_) | Self::Scalar(_) | Self::String(_) => {
                Err("the expression gives no range vector, as `metric[5m]` would".into())
            }
        }
    }
}

impl VectorElement {
    fn sample(self) -> std::result::Result<Sample, String> {
        match (self.value, self.histogram) {
            (Some((at, value)), _) => Ok(Sample {
                labels: self.metric,
                at,
                value,
                histogram: None,
            }),
            (None, Some((at, histogram))) => Ok(Sample {
                labels: self.metric,
                at,
                value: String::new(),
                histogram: Some(histogram),
            }),
            (None, None) => Err(format!(
                "the series {:?} has neither a value nor a histogram",
                self.metric
            )),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Targets {
    #[serde(rename = "activeTargets")]
    pub(super) active: Vec<Target>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Target {
    labels: Labels,
    scrape_pool: String,
    scrape_url: String,
    last_error: String,
    health: String,
    scrape_interval: String,
    scrape_timeout: String,
}

impl From<Target> for ActiveTarget {
    fn from(target: Target) -> Self {
        Self {
            scrape_pool: target.scrape_pool,
            labels: target.labels,
            scrape_url: target.scrape_url,
            health: target.health,
            last_error: target.last_error,
            scrape_interval: target.scrape_interval,
            scrape_timeout: target.scrape_timeout,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Rules {
    pub(super) groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Group {
    name: String,
    file: String,
    interval: f64,
    rules: Vec<Rule>,
}

/// A rule; what a recording rule or a rule that is well does not have is left out by the server.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    query: String,
    #[serde(default)]
    duration: f64,
    #[serde(default)]
    keep_firing_for: f64,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    annotations: Labels,
    health: String,
    #[serde(default)]
    last_error: String,
    #[serde(default)]
    state: String,
    last_evaluation: String,
}

impl Group {
    pub(super) fn rules(self) -> Vec<LoadedRule> {
        let Self {
            name,
            file,
            interval,
            rules,
        } = self;
        rules
            .into_iter()
            .map(|rule| LoadedRule {
                group: name.clone(),
                file: file.clone(),
                interval,
                kind: rule.kind,
                name: rule.name,
                query: rule.query,
                duration: rule.duration,
                keep_firing_for: rule.keep_firing_for,
                labels: rule.labels,
                annotations: rule.annotations,
                health: rule.health,
                last_error: rule.last_error,
                state: rule.state,
                evaluated: evaluated(&rule.last_evaluation),
            })
            .collect()
    }
}

/// The instant of the last evaluation; before the first, Prometheus gives Go's zero time, the year 1.
fn evaluated(text: &str) -> Option<f64> {
    let seconds = text.parse::<Timestamp>().ok()?.as_duration().as_secs_f64();
    (seconds > 0.0).then_some(seconds)
}

#[derive(Debug, Deserialize)]
pub(super) struct Alerts {
    pub(super) alerts: Vec<Alert>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Alert {
    labels: Labels,
    #[serde(default)]
    annotations: Labels,
    state: String,
    active_at: String,
    value: String,
}

impl Alert {
    pub(super) fn read(self) -> std::result::Result<ActiveAlert, String> {
        Ok(ActiveAlert {
            active_at: unix_seconds(&self.active_at)?,
            labels: self.labels,
            annotations: self.annotations,
            state: self.state,
            value: self.value,
        })
    }
}

/// The texts are answers of Prometheus 3.16.0, shortened to one element a list.
#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;

    fn read<T: DeserializeOwned>(text: &str) -> T {
        serde_json::from_str::<Envelope<T>>(text).unwrap().data
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_vector_keeps_values_as_printed() {
        let result: Result = read(
            r#"{"status":"success","data":{"resultType":"vector","result":[
                {"metric":{"instance":"127.0.0.1:1","job":"dead"},"value":[1795490521.203,"NaN"]},
                {"metric":{"instance":"127.0.0.1:29090","job":"self"},"value":[1795490521.203,"+Inf"]}]}}"#,
        );
        let samples = result.samples().unwrap();
        assert_eq!(
            samples
                .iter()
                .map(|sample| sample.value.as_str())
                .collect::<Vec<_>>(),
            ["NaN", "+Inf"]
        );
        assert_eq!(
            samples[0].labels,
            labels(&[("instance", "127.0.0.1:1"), ("job", "dead")])
        );
        assert!((samples[0].at - 1_795_490_521.203).abs() < f64::EPSILON);
    }

    #[test]
    fn a_scalar_is_a_sample_without_labels() {
        let result: Result =
            read(r#"{"status":"success","data":{"resultType":"scalar","result":[1795490495.059,"1"]}}"#);
        let samples = result.samples().unwrap();
        assert_eq!(samples.len(), 1);
        assert_eq!((samples[0].value.as_str(), samples[0].labels.len()), ("1", 0));
    }

    #[test]
    fn a_native_histogram_has_no_value() {
        let result: Result = read(
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"prometheus_http_request_duration_seconds","handler":"/metrics"},"histogram":[1795490695.342,{"count":"3","sum":"0.016265473","buckets":[[0,"0.0035820470437682465","0.00390625","1"],[0,"0.00390625","0.004259795830723663","1"],[0,"0.0078125","0.008519591661447326","1"]]}]}]}}"#,
        );
        let sample = result.samples().unwrap().remove(0);
        assert_eq!(sample.value, "");
        assert_eq!(sample.histogram.unwrap()["sum"], "0.016265473");
    }

    #[test]
    fn a_matrix_has_floats_and_histograms_apart() {
        let result: Result = read(
            r#"{"status":"success","data":{"resultType":"matrix","result":[
                {"metric":{"__name__":"up","job":"dead"},"values":[[1795490494.531,"0"]]},
                {"metric":{"__name__":"prometheus_http_request_duration_seconds"},"histograms":[[1795490695.550,{"count":"2","sum":"0.0011814080000000001","buckets":[[0,"0.00026623723942022893","0.0002903337683112112","1"]]}]]}]}}"#,
        );
        let series = result.series().unwrap();
        assert_eq!(series[0].samples, [(1_795_490_494.531, "0".to_owned())]);
        assert!(series[0].histograms.is_empty());
        assert_eq!(series[1].histograms[0].1["count"], "2");
    }

    #[test]
    fn the_wrong_kind_of_result_is_named() {
        let vector = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
        assert!(
            read::<Result>(vector)
                .series()
                .unwrap_err()
                .contains("no range vector")
        );
        assert!(
            read::<Result>(matrix)
                .samples()
                .unwrap_err()
                .contains("range vector")
        );
    }

    #[test]
    fn a_block_is_read() {
        let blocks: Blocks = read(
            r#"{"status":"success","data":{"blocks":[{"ulid":"01M85S5EKWB4AVRNHNTBQPGGKZ","minTime":1795490494531,"maxTime":1795490494532,"stats":{"numSamples":5,"numFloatSamples":5,"numSeries":5,"numChunks":5},"compaction":{"level":1,"sources":["01M85S5EKWB4AVRNHNTBQPGGKZ"]},"version":1}]}}"#,
        );
        let block: Block = blocks.blocks.into_iter().map(Into::into).next().unwrap();
        assert_eq!(
            block,
            Block {
                ulid: "01M85S5EKWB4AVRNHNTBQPGGKZ".into(),
                min_time: 1_795_490_494_531,
                max_time: 1_795_490_494_532,
                samples: 5,
                series: 5,
            }
        );
    }

    #[test]
    fn a_target_that_is_down_carries_its_error() {
        let targets: Targets = read(
            r#"{"status":"success","data":{"activeTargets":[{"discoveredLabels":{"__address__":"127.0.0.1:1","job":"dead"},"labels":{"instance":"127.0.0.1:1","job":"dead"},"scrapePool":"dead","scrapeUrl":"http://127.0.0.1:1/metrics","globalUrl":"http://vm:1/metrics","lastError":"Get \"http://127.0.0.1:1/metrics\": dial tcp 127.0.0.1:1: connect: connection refused","lastScrape":"2026-11-24T03:21:34.531492362Z","lastScrapeDuration":0.001236669,"health":"down","scrapeInterval":"1s","scrapeTimeout":"1s"}],"droppedTargets":[],"droppedTargetCounts":{"dead":0,"self":0}}}"#,
        );
        let target: ActiveTarget = targets.active.into_iter().map(Into::into).next().unwrap();
        assert_eq!(
            (
                target.scrape_pool.as_str(),
                target.health.as_str(),
                target.scrape_interval.as_str()
            ),
            ("dead", "down", "1s")
        );
        assert!(target.last_error.ends_with("connection refused"));
    }

    #[test]
    fn rules_carry_their_group_and_kind() {
        let rules: Rules = read(
            r#"{"status":"success","data":{"groups":[{"name":"g","file":"r.yml","rules":[{"name":"job:up:sum","query":"sum by (job) (up)","labels":{},"health":"ok","evaluationTime":0.000333352,"lastEvaluation":"2026-11-24T03:22:00.184614286Z","type":"recording"},{"state":"firing","name":"Down","query":"up == 0","duration":1,"keepFiringFor":300,"labels":{"severity":"critical"},"annotations":{"summary":"{{ $labels.job }} is down"},"alerts":[],"health":"ok","evaluationTime":0.0002269,"lastEvaluation":"2026-11-24T03:22:00.184954535Z","type":"alerting"}],"interval":1,"limit":0,"evaluationTime":0.000632849,"lastEvaluation":"2026-11-24T03:22:00.184554295Z"}]}}"#,
        );
        let rules: Vec<LoadedRule> = rules.groups.into_iter().flat_map(Group::rules).collect();
        assert_eq!(
            (
                rules[0].kind.as_str(),
                rules[0].state.as_str(),
                rules[0].group.as_str()
            ),
            ("recording", "", "g")
        );
        assert_eq!(
            (rules[1].kind.as_str(), rules[1].state.as_str()),
            ("alerting", "firing")
        );
        assert!((rules[1].keep_firing_for - 300.0).abs() < f64::EPSILON);
    }

    #[test]
    fn an_alert_is_active_since_unix_seconds() {
        let alerts: Alerts = read(
            r#"{"status":"success","data":{"alerts":[{"labels":{"alertname":"Down","instance":"127.0.0.1:1","job":"dead","severity":"critical"},"annotations":{"summary":"dead is down"},"state":"firing","activeAt":"2026-11-24T03:21:35.184147877Z","value":"0e+00"}]}}"#,
        );
        let alert = alerts.alerts.into_iter().next().unwrap().read().unwrap();
        assert_eq!((alert.state.as_str(), alert.value.as_str()), ("firing", "0e+00"));
        assert!((alert.active_at - 1_795_490_495.184).abs() < 1e-3);
    }

    #[test]
    fn alertmanagers_and_snapshots_are_named() {
        let found: Alertmanagers = read(
            r#"{"status":"success","data":{"activeAlertmanagers":[{"url":"http://127.0.0.1:29093/api/v2/alerts"}],"droppedAlertmanagers":[]}}"#,
        );
        assert_eq!(found.active[0].url, "http://127.0.0.1:29093/api/v2/alerts");
        let snapshot: Snapshot =
            read(r#"{"status":"success","data":{"name":"20261124T032135Z-3a4ac2c28d885799"}}"#);
        assert_eq!(snapshot.name, "20261124T032135Z-3a4ac2c28d885799");
    }
}
