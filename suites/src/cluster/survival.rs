//! What is shown of a blow to every workload in turn, be it a kill or a restart: each is back within the promised
//! time, and what was acknowledged before and meanwhile is there afterwards.
//!
//! Documents and lines are sent all the time, open-loop and not again where nobody answered: what was acknowledged is
//! in the ledger, what was not may be there or not. Of Prometheus, which acknowledges nothing, the samples that it
//! gave out before are asked for again, and of Jaeger the traces that were stored before: what the Collector
//! acknowledges it holds in memory until it has exported it.

use std::time::{Duration, Instant};

use harness::case::{CaseError, Context};
use harness::component::cluster::{Cluster, ClusterError, Controller, Workload};
use harness::component::elasticsearch::HealthStatus;
use harness::component::loki::{Direction, RangeQuery};
use harness::component::prometheus::{Labels, Series};
use harness::deploy::DeployTree;
use harness::emit::ledger::Reconciliation;
use harness::emit::logs::records::{Key, Record, reconcile};
use harness::emit::logs::{Destination, Load, Outcome, send};
use harness::finding::{Finding, Findings};
use harness::stack::Capability;
use harness::units::format_duration;
use harness::verdict::Verdict;
use harness::wait::{Look, Wait};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::history::{now_ms, seconds};
use crate::logs::books;
use crate::traces::nothing_lost::Kept;

/// Records a second of each load: enough that none of the blows falls between two of them.
const RATE: f64 = 50.0;
/// Records of a request.
const BATCH: usize = 10;
/// Longest a load may last; it is stopped when the last workload is back.
const LASTS: Duration = Duration::from_hours(1);
/// Longest until the first records are found.
const BEGUN: Duration = Duration::from_secs(60);
/// Longest until the stores answer again after the last blow.
const ANSWERS: Duration = Duration::from_secs(120);
/// How far back the samples are remembered.
const REMEMBERED: &str = "up[10m]";
/// Lines of a page when all are read back.
const PAGE: usize = 2_000;

/// What a stack has to have for it: the cluster, and every store with what writes to it.
pub(super) const NEEDS: &[Capability] = &[
    Capability::Cluster,
    Capability::Prometheus,
    Capability::Elasticsearch,
    Capability::Loki,
    Capability::Collector,
    Capability::Jaeger,
];

/// What happens to a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    /// Its first pod is killed without grace.
    Kill,
    /// Its pods are replaced in turn, as for an update.
    Restart,
}

impl Blow {
    fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill of a pod",
            Self::Restart => "rolling restart",
        }
    }

    /// Strikes; the uids of the pods that have to be others afterwards.
    async fn strike(self, cluster: &Cluster, workload: &Workload) -> Result<Vec<String>, ClusterError> {
        let mut pods: Vec<(String, String)> = cluster
            .pods(workload)
            .await?
            .iter()
            .map(|pod| (text(pod, "/metadata/name"), text(pod, "/metadata/uid")))
            .collect();
        pods.sort();
        match self {
            Self::Kill => {
                let Some((name, uid)) = pods.into_iter().next() else {
                    return Err(ClusterError::Absent {
                        object: format!("pod of {workload}"),
                    });
                };
                cluster.kill(&workload.namespace, &name).await?;
                Ok(vec![uid])
            }
            Self::Restart => {
                let mark = jiff::Timestamp::now().to_string();
                cluster.restart(workload, &mark).await?;
                Ok(pods.into_iter().map(|(_, uid)| uid).collect())
            }
        }
    }
}

/// Strikes every workload of the tree in turn, under load.
pub(super) async fn run(context: Context, blow: Blow) -> Result<Findings, CaseError> {
    let cluster = context.stack.cluster()?;
    let bound = context.contract.duration("deploy-recovery", "at-most")?;
    let workloads = workloads(&context.tree);
    let mut findings = Findings::new();

    context.progress.step("", "sending traces");
    let traces = Kept::sent(&context).await?;
    let remembered = Remembered::of(&context).await?;
    let suffix = format!("survival-{}", now_ms());
    let stop = context.cancel.child_token();
    let (struck, documents, lines) = tokio::join!(
        async {
            let struck = strike_all(&context, cluster, &workloads, blow, bound, &suffix).await;
            stop.cancel();
            struck
        },
        load(&context, documents(&context, &suffix)?, "documents", &stop),
        load(&context, lines(&context)?, "lines", &stop),
    );
    for finding in struck? {
        findings.push(finding);
    }
    context.progress.step("", "reading back what was acknowledged");
    findings.push(documents_found(&context, &suffix, &documents?).await?);
    findings.push(lines_found(&context, &lines?).await?);
    findings.push(remembered.again(&context).await?);
    findings.push(traces_found(&context, &traces).await?);
    Ok(findings)
}

/// Every workload in turn, one finding each.
async fn strike_all(
    context: &Context,
    cluster: &Cluster,
    workloads: &[Workload],
    blow: Blow,
    bound: Duration,
    suffix: &str,
) -> Result<Vec<Finding>, CaseError> {
    begun(context, suffix).await?;
    let mut findings = Vec::new();
    let mut absent = Vec::new();
    for workload in workloads {
        let controller = workload.controller.kind();
        if cluster
            .get(controller, &workload.namespace, &workload.name)
            .await?
            .is_none()
        {
            absent.push(workload.to_string());
            continue;
        }
        context
            .progress
            .step("", format!("{} of {workload}", blow.word()));
        let begin = Instant::now();
        let back = match blow.strike(cluster, workload).await {
            Ok(former) => cluster.rolled_out(workload, &former, bound).await,
            Err(error) => Err(error),
        };
        let took = begin.elapsed();
        let finding =
            Finding::of(format!("{workload} after a {}", blow.word())).bound(format_duration(bound));
        findings.push(match back {
            Ok(()) => finding.observed(format!("ready again after {}", format_duration(took))),
            // What does not come back is the stack's fault, as is a workload without a pod.
            Err(error @ (ClusterError::Late(_) | ClusterError::Absent { .. })) => finding
                .observed("not ready again")
                .judge(false, || error.to_string()),
            Err(error) => return Err(error.into()),
        });
    }
    // An overlay may leave out what it has no image for.
    let left = match absent.as_slice() {
        [] => "none".to_owned(),
        some => some.join(", "),
    };
    let struck = findings.len();
    findings.push(
        Finding::of("workloads of the tree")
            .declared(workloads.len())
            .observed(format!("{struck} struck; not in this cluster: {left}"))
            .judge(struck > 0, || {
                "the cluster has none of the tree's workloads".to_owned()
            }),
    );
    Ok(findings)
}

/// Waits until documents are stored: a blow before the first of them would show nothing.
async fn begun(context: &Context, suffix: &str) -> Result<(), CaseError> {
    let server = context.stack.elasticsearch()?;
    Wait::new("the first documents", BEGUN)
        .every(Duration::from_millis(250))
        .until(async || match server.indices(&format!("*-{suffix}")).await {
            Ok(indices) if indices.is_empty() => Look::Missing("no index of theirs is there".to_owned()),
            Ok(_) => Look::Ready(()),
            Err(error) => Look::Missing(error.to_string()),
        })
        .await
        .map_err(|late| CaseError::Environment(late.to_string()))
}

fn documents(context: &Context, suffix: &str) -> Result<Destination, CaseError> {
    books::bulk(context.stack.elasticsearch()?, suffix, 0)
}

fn lines(context: &Context) -> Result<Destination, CaseError> {
    let endpoint = context.stack.loki()?.base().join("loki/api/v1/push");
    endpoint
        .map(Destination::Loki)
        .map_err(|error| CaseError::Environment(error.to_string()))
}

/// Sends until it is told to stop.
async fn load(
    context: &Context,
    destination: Destination,
    stream: &str,
    stop: &CancellationToken,
) -> Result<Outcome, CaseError> {
    let load = Load {
        rate: RATE,
        duration: LASTS,
        batch: BATCH,
        ..Load::new(destination, context.shapes.clone(), context.seed.derive(stream))
    };
    send(load, stop.clone())
        .await
        .map_err(|error| CaseError::Environment(error.to_string()))
}

/// Every acknowledged document, once its store answers again; the indices go with it.
async fn documents_found(context: &Context, suffix: &str, outcome: &Outcome) -> Result<Finding, CaseError> {
    let server = context.stack.elasticsearch()?;
    let pattern = format!("*-{suffix}");
    let what = "documents acknowledged before and meanwhile";
    if let Err(error) = server
        .settled(Some(&pattern), HealthStatus::Yellow, 1, ANSWERS)
        .await
    {
        return Ok(Finding::of(what)
            .bound("all found")
            .judge(false, || error.to_string()));
    }
    let at_most = outcome.acknowledged + outcome.refused + outcome.unanswered;
    let hits = books::documents(server, &pattern, 2 * at_most).await?;
    let found = reconcile(&outcome.sent, &books::records(&hits)?);
    for index in server.indices(&pattern).await? {
        server.delete_index(&index).await?;
    }
    Ok(whole(what, outcome, &found))
}

/// Every acknowledged line.
async fn lines_found(context: &Context, outcome: &Outcome) -> Result<Finding, CaseError> {
    let server = context.stack.loki()?;
    let what = "lines acknowledged before and meanwhile";
    let sent = outcome.sent.records();
    let (Some(first), Some(last)) = (
        sent.iter().map(|record| record.at).min(),
        sent.iter().map(|record| record.at).max(),
    ) else {
        return Ok(whole(what, outcome, &reconcile(&outcome.sent, &[])));
    };
    let query = RangeQuery {
        query: "{namespace=~\".+\"}".to_owned(),
        start: first,
        end: last + 1,
        limit: PAGE,
        direction: Direction::Forward,
    };
    let at_most = 4 * (outcome.acknowledged + outcome.refused + outcome.unanswered);
    let at_most = usize::try_from(at_most).unwrap_or(usize::MAX);
    let answered = Wait::new("all lines", ANSWERS)
        .every(Duration::from_secs(1))
        .until(async || match server.all(&query, at_most).await {
            Ok(streams) => Look::Ready(streams),
            Err(error) => Look::Missing(error.to_string()),
        })
        .await;
    let streams = match answered {
        Ok(streams) => streams,
        Err(late) => {
            return Ok(Finding::of(what)
                .bound("all found")
                .judge(false, || late.to_string()));
        }
    };
    let mut arrived = Vec::new();
    for stream in &streams {
        for entry in &stream.entries {
            let label = |name: &str| stream.labels.get(name).map(String::as_str);
            // Lines of others are none of ours.
            if let Ok(record) = Record::of_entry(label, entry.at, &entry.line) {
                arrived.push(record);
            }
        }
    }
    Ok(whole(what, outcome, &reconcile(&outcome.sent, &arrived)))
}

/// Every trace that was stored before, from a Jaeger that answers again.
async fn traces_found(context: &Context, traces: &Kept) -> Result<Finding, CaseError> {
    let jaeger = context.stack.jaeger()?;
    let answers = Wait::new("jaeger ready", ANSWERS)
        .every(Duration::from_millis(500))
        .until(async || match jaeger.services().await {
            Ok(_) => Look::Ready(()),
            Err(error) => Look::Missing(error.to_string()),
        })
        .await;
    match answers {
        Ok(()) => traces.again(jaeger).await,
        Err(late) => Ok(Finding::of("traces stored before").judge(false, || late.to_string())),
    }
}

/// Whether nothing that was acknowledged is lost or altered. What was refused may be there all the same: some of the
/// replicas took it.
fn whole(what: &str, outcome: &Outcome, found: &Reconciliation<Key>) -> Finding {
    let finding = Finding::of(what)
        .effective(format!(
            "{} acknowledged, {} refused, {} unanswered",
            outcome.acknowledged, outcome.refused, outcome.unanswered
        ))
        .observed(format!(
            "{} acknowledged or in doubt and found, {} lost, {} altered, {} doubled",
            found.sent - found.lost.len(),
            found.lost.len(),
            found.altered.len(),
            found.duplicated.len()
        ))
        .bound("none lost, altered or doubled");
    if outcome.acknowledged == 0 {
        let why: Vec<&str> = outcome
            .failures
            .iter()
            .take(2)
            .map(|one| one.words.as_str())
            .collect();
        return finding.judge(false, || format!("nothing was acknowledged: {}", why.join("; ")));
    }
    let holds = found.lost.is_empty() && found.altered.is_empty() && found.duplicated.is_empty();
    finding.judge(holds, || {
        let first = found
            .lost
            .first()
            .or(found.altered.first())
            .or(found.duplicated.first())
            .map(ToString::to_string);
        format!("{found}; the first: {}", first.unwrap_or_default())
    })
}

/// The samples that Prometheus gave out before the first blow.
struct Remembered {
    at: f64,
    series: Vec<Series>,
}

impl Remembered {
    async fn of(context: &Context) -> Result<Self, CaseError> {
        let at = seconds(now_ms());
        let series = context.stack.prometheus.raw(REMEMBERED, Some(at)).await?;
        Ok(Self { at, series })
    }

    fn samples(&self) -> usize {
        self.series.iter().map(|one| one.samples.len()).sum()
    }

    /// The same samples, asked for again.
    async fn again(&self, context: &Context) -> Result<Finding, CaseError> {
        let server = &context.stack.prometheus;
        let answered = Wait::new("samples of Prometheus", ANSWERS)
            .every(Duration::from_secs(1))
            .until(async || match server.raw(REMEMBERED, Some(self.at)).await {
                Ok(series) => Look::Ready(series),
                Err(error) => Look::Missing(error.to_string()),
            })
            .await;
        let finding = Finding::of("samples that Prometheus had before").declared(self.samples());
        if self.samples() == 0 {
            return Ok(finding.verdict(
                Verdict::Insufficient,
                "Prometheus had scraped nothing before; wait for its first scrapes",
            ));
        }
        Ok(match answered {
            Err(late) => finding.judge(false, || late.to_string()),
            Ok(series) => {
                let lost = missing(&self.series, &series);
                finding
                    .observed(format!("{} lost", lost.len()))
                    .bound("none lost")
                    .unit("samples")
                    .judge(lost.is_empty(), || {
                        format!("{} samples are gone, the first of {}", lost.len(), lost[0])
                    })
            }
        })
    }
}

/// Of each sample that is missing or another, which series it was of.
fn missing(before: &[Series], after: &[Series]) -> Vec<String> {
    before
        .iter()
        .flat_map(|series| {
            let now = after.iter().find(|other| other.labels == series.labels);
            series
                .samples
                .iter()
                .filter(move |sample| now.is_none_or(|now| !now.samples.contains(sample)))
                .map(move |(at, _)| format!("{} at {at}", shown(&series.labels)))
        })
        .collect()
}

fn shown(labels: &Labels) -> String {
    let labels: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    format!("{{{}}}", labels.join(", "))
}

/// The workloads of the tree: its own, and those that operators make of its objects (prometheus-operator v0.85 and
/// opentelemetry-operator v0.140, by the names they give).
fn workloads(tree: &DeployTree) -> Vec<Workload> {
    tree.objects()
        .iter()
        .filter_map(|object| {
            let (controller, name) = match object.kind() {
                "Deployment" => (Controller::Deployment, object.name().to_owned()),
                "StatefulSet" => (Controller::StatefulSet, object.name().to_owned()),
                "DaemonSet" => (Controller::DaemonSet, object.name().to_owned()),
                "Prometheus" => (Controller::StatefulSet, format!("prometheus-{}", object.name())),
                "Alertmanager" => (Controller::StatefulSet, format!("alertmanager-{}", object.name())),
                "OpenTelemetryCollector" => {
                    let controller = match object.text("/spec/mode") {
                        "statefulset" => Controller::StatefulSet,
                        "daemonset" => Controller::DaemonSet,
                        _ => Controller::Deployment,
                    };
                    (controller, format!("{}-collector", object.name()))
                }
                _ => return None,
            };
            Some(Workload::new(controller, object.namespace(), &name))
        })
        .collect()
}

fn text(value: &Value, pointer: &str) -> String {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_of_operators_are_known_by_the_names_they_give() {
        let tree = DeployTree::load(&crate::root().join("deploy")).unwrap();
        let found: Vec<String> = workloads(&tree).iter().map(ToString::to_string).collect();
        for expected in [
            "StatefulSet monitoring/prometheus-prometheus",
            "StatefulSet monitoring/alertmanager-alertmanager",
            "Deployment monitoring/prometheus-operator",
            "Deployment monitoring/otel-collector",
            "Deployment monitoring/jaeger-collector",
            "StatefulSet monitoring/elasticsearch-hot",
            "StatefulSet monitoring/loki",
            "DaemonSet monitoring/node-exporter",
        ] {
            assert!(
                found.iter().any(|one| one == expected),
                "{expected} is not among {found:?}"
            );
        }
    }

    fn series(job: &str, samples: &[(f64, &str)]) -> Series {
        Series {
            labels: Labels::from([("job".to_owned(), job.to_owned())]),
            samples: samples
                .iter()
                .map(|(at, value)| (*at, (*value).to_owned()))
                .collect(),
            histograms: Vec::new(),
        }
    }

    #[test]
    fn a_sample_is_missed_where_it_or_its_series_is_gone_or_another() {
        let before = [series("a", &[(1.0, "1"), (2.0, "1")]), series("b", &[(1.0, "0")])];
        assert_eq!(missing(&before, &before), Vec::<String>::new());
        let after = [series("a", &[(1.0, "1"), (2.0, "0"), (3.0, "1")])];
        assert_eq!(missing(&before, &after), ["{job=\"a\"} at 2", "{job=\"b\"} at 1"]);
    }
}
