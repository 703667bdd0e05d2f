//! A service that comes is scraped and one that goes is forgotten, without anybody touching Prometheus.
//!
//! The service is a sibling of one of the tree's: the same pods under another name, with a monitor of its own that
//! differs from the tree's in what it selects alone. So what is shown is the way from the API server through the
//! operator, the kubelet's mount and the reloader into Prometheus' discovery.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use harness::case::{Case, CaseError, Context};
use harness::component::cluster::{Cluster, Kind};
use harness::component::prometheus::ActiveTarget;
use harness::deploy::Object;
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::render::operator::place;
use harness::stack::Capability;
use harness::units::format_duration;
use harness::verdict::Level;
use harness::wait::{Look, Wait};
use serde_json::{Value, json};

use super::PROFILES;

/// Whose pods stand behind the new service: they are on every node and answer at once.
const SIBLING: &str = "node-exporter";

/// Name of the new service and of its monitor; what a killed run left of them is removed first.
const NAME: &str = "conform-discovered";

/// How often Prometheus is asked.
const LOOK: Duration = Duration::from_millis(250);

/// How long the API server may take to have deleted an object that nothing holds back.
const DELETED: Duration = Duration::from_secs(30);

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "cluster/discovery",
        claim: "a new service is scraped within the promised time of its monitor, and forgotten after both are gone",
        level: Level::Must,
        promises: &["metrics-service-discovery", "metrics-operator"],
        needs: &[Capability::Cluster, Capability::Prometheus],
        profiles: PROFILES,
        excludes: &["cluster/scrape-configuration"],
        disturbs: Some("has a service more scraped for some minutes"),
        bound: Duration::from_secs(480),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "only-those-it-knows",
            "the Prometheus object selects monitors by their names",
            Edit::set(
                "Prometheus/prometheus",
                "/spec/serviceMonitorSelector/matchExpressions",
                json!([{"key": "app.kubernetes.io/name", "operator": "In", "values": ["prometheus", "alertmanager"]}]),
            ),
        ),
        Mutant::new(
            "once-an-hour",
            "a service without an interval of its own is scraped once an hour",
            Edit::set("Prometheus/prometheus", "/spec/scrapeInterval", "1h"),
        ),
        Mutant::new(
            "drops-all-it-finds",
            "the monitor drops every target that is discovered",
            Edit::set(
                "ServiceMonitor/node-exporter",
                "/spec/endpoints/0/relabelings",
                json!([{"action": "drop", "sourceLabels": ["__address__"], "regex": ".+"}]),
            ),
        ),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let cluster = context.stack.cluster()?;
    let within = context.contract.duration("metrics-service-discovery", "within")?;
    let monitor = sibling(
        context.tree.object(&format!("ServiceMonitor/{SIBLING}"))?,
        &["/spec/selector"],
    );
    let service = sibling(context.tree.object(&format!("Service/{SIBLING}"))?, &[]);
    let namespaces = [&service, &monitor].map(|object| {
        let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
        namespace.unwrap_or_default().to_owned()
    });
    let pool = format!("serviceMonitor/{}/{NAME}/0", namespaces[1]);

    remove(cluster, &namespaces).await?;
    wait_forgotten(&context, &pool, within).await.map_err(|why| {
        CaseError::Environment(format!("{why}: what a run before this one left is still scraped"))
    })?;
    let shown = show(&context, cluster, &service, &monitor, &pool, within).await;
    // Whatever was found, nothing stays.
    let removed = remove(cluster, &namespaces).await;
    let (mut findings, discovered) = shown?;
    removed?;

    let begin = Instant::now();
    context
        .progress
        .step("", format!("waiting until {NAME} is forgotten"));
    let forgotten = wait_forgotten(&context, &pool, within).await;
    let took = begin.elapsed();
    let finding = Finding::of("time until a deleted service is forgotten")
        .declared("Service and ServiceMonitor deleted")
        .observed(forgotten.as_ref().map_or_else(
            |_| format!("not within {}", format_duration(within)),
            |()| format_duration(took),
        ))
        .bound(format_duration(within));
    findings.push(match forgotten {
        // What was never known cannot be forgotten.
        Ok(()) if !discovered => finding.judge(false, || "it was not discovered before".to_owned()),
        Ok(()) => finding,
        Err(why) => finding.judge(false, || why),
    });
    Ok(findings)
}

/// Creates both objects and looks for the target; whether it came.
async fn show(
    context: &Context,
    cluster: &Cluster,
    service: &Value,
    monitor: &Value,
    pool: &str,
    within: Duration,
) -> Result<(Findings, bool), CaseError> {
    let mut findings = Findings::new();
    cluster.apply(Kind::SERVICE, service).await?;
    cluster.apply(Kind::SERVICE_MONITOR, monitor).await?;
    let begin = Instant::now();
    context.progress.step(
        "",
        format!(
            "waiting until {NAME} is scraped, at most {}",
            format_duration(within)
        ),
    );
    let known = Mutex::new(None);
    let scraped = Wait::new(format!("a scrape of {NAME}"), within)
        .every(LOOK)
        .until(async || match targets(context, pool).await {
            Err(error) => Look::Missing(error),
            Ok(found) if found.is_empty() => Look::Missing("no target of it is known".to_owned()),
            Ok(found) => {
                known
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert_with(|| begin.elapsed());
                match found.iter().find(|target| target.health != "up") {
                    None => Look::Ready(()),
                    Some(target) => Look::Missing(format!(
                        "{} is {} {}",
                        target.scrape_url, target.health, target.last_error
                    )),
                }
            }
        })
        .await;
    let took = begin.elapsed();
    let known = known.into_inner().unwrap_or_else(PoisonError::into_inner);
    let reached = match scraped {
        Ok(()) => None,
        Err(late) => Some(format!(
            "{} ({late})",
            reached(context, cluster, pool, known.is_some()).await?
        )),
    };
    findings.push(
        Finding::of("time until a new service is scraped")
            .declared("Service and ServiceMonitor applied")
            .effective(known.map_or_else(
                || "no target".to_owned(),
                |known| format!("a target after {}", format_duration(known)),
            ))
            .observed(match &reached {
                None => format!("scraped after {}", format_duration(took)),
                Some(_) => format!("not within {}", format_duration(within)),
            })
            .bound(format_duration(within))
            .judge(reached.is_none(), || reached.clone().unwrap_or_default()),
    );
    Ok((findings, reached.is_none()))
}

/// How far the new service has come on its way, as a cause.
async fn reached(context: &Context, cluster: &Cluster, pool: &str, known: bool) -> Result<String, CaseError> {
    if known {
        return Ok("Prometheus knows the target and has not scraped it".to_owned());
    }
    let place =
        place(&context.tree, &context.shapes).map_err(|error| CaseError::Failed(error.to_string()))?;
    let written = cluster
        .secret_text(&place.namespace, &place.secret, &place.key)
        .await?;
    if !written.contains(pool) {
        return Ok("the operator has not taken the monitor up".to_owned());
    }
    if !context.stack.prometheus.config().await?.contains(pool) {
        return Ok("the operator has written the job, and Prometheus has not loaded it".to_owned());
    }
    Ok("Prometheus has the job, and discovers no target for it".to_owned())
}

/// Waits until no target and no current sample of the new service is left; why not, where that takes too long.
async fn wait_forgotten(context: &Context, pool: &str, within: Duration) -> Result<(), String> {
    let up = format!("up{{job=\"{NAME}\"}}");
    Wait::new(format!("{NAME} forgotten"), within)
        .every(LOOK)
        .until(async || {
            match targets(context, pool).await {
                Err(error) => return Look::Missing(error),
                Ok(found) if found.is_empty() => {}
                Ok(found) => return Look::Missing(format!("{} of its targets are known", found.len())),
            }
            match context.stack.prometheus.query(&up, None).await {
                Err(error) => Look::Missing(error.to_string()),
                Ok(samples) if samples.is_empty() => Look::Ready(()),
                Ok(_) => Look::Missing("its series has not ended".to_owned()),
            }
        })
        .await
        .map_err(|late| late.to_string())
}

async fn targets(context: &Context, pool: &str) -> Result<Vec<ActiveTarget>, String> {
    let mut targets = context
        .stack
        .prometheus
        .targets()
        .await
        .map_err(|error| error.to_string())?;
    targets.retain(|target| target.scrape_pool == pool);
    Ok(targets)
}

/// Removes both objects, wherever they come from, and waits until they are gone.
async fn remove(cluster: &Cluster, [service, monitor]: &[String; 2]) -> Result<(), CaseError> {
    cluster
        .delete_and_wait(Kind::SERVICE_MONITOR, monitor, NAME, DELETED)
        .await?;
    cluster
        .delete_and_wait(Kind::SERVICE, service, NAME, DELETED)
        .await?;
    Ok(())
}

/// A copy of an object of the tree under the new name, which `selectors` select. Pure.
fn sibling(object: &Object, selectors: &[&str]) -> Value {
    let mut copy = object.value.clone();
    let label = json!(NAME);
    for (pointer, value) in [
        ("/metadata/name".to_owned(), label.clone()),
        (
            "/metadata/labels/app.kubernetes.io~1name".to_owned(),
            label.clone(),
        ),
    ] {
        if let Some(place) = copy.pointer_mut(&pointer) {
            *place = value;
        }
    }
    for pointer in selectors {
        if let Some(place) = copy.pointer_mut(pointer) {
            *place = json!({"matchLabels": {"app.kubernetes.io/name": NAME}});
        }
    }
    copy
}

#[cfg(test)]
mod tests {
    use harness::deploy::DeployTree;

    use super::*;

    #[test]
    fn a_sibling_has_the_same_pods_and_a_name_that_its_monitor_alone_selects() {
        let tree = DeployTree::load(&crate::root().join("deploy")).unwrap();
        let service = sibling(tree.object("Service/node-exporter").unwrap(), &[]);
        let monitor = sibling(
            tree.object("ServiceMonitor/node-exporter").unwrap(),
            &["/spec/selector"],
        );
        let whole = [
            tree.object("Service/node-exporter").unwrap(),
            tree.object("ServiceMonitor/node-exporter").unwrap(),
        ];
        assert_eq!(service["spec"], whole[0].value["spec"]);
        assert_eq!(monitor["spec"]["endpoints"], whole[1].value["spec"]["endpoints"]);
        assert_eq!(service["metadata"]["labels"]["app.kubernetes.io/name"], NAME);
        assert_eq!(
            monitor["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"],
            service["metadata"]["labels"]["app.kubernetes.io/name"]
        );
    }
}
