//! Every cause is looked for in objects recorded from a real cluster with that breakage, and in one without.

use rstest::rstest;
use serde_json::Value;

use super::super::cluster::{Cluster, text};
use super::{causes, causes_at_rest};

/// A cluster as it was recorded: objects, and the logs of pods by name.
fn recorded(file: &str) -> Cluster {
    let mut record: Value = serde_json::from_str(file).unwrap();
    let objects: Vec<Value> = serde_json::from_value(record["objects"].take()).unwrap();
    let pods: Vec<(String, String)> = objects
        .iter()
        .filter(|o| o["kind"] == "Pod")
        .map(|o| {
            let text = |pointer| text(o, pointer).to_owned();
            (text("/metadata/namespace"), text("/metadata/name"))
        })
        .collect();
    let mut cluster = Cluster::of(objects);
    for (namespace, pod) in pods {
        if let Some(lines) = record["logs"][&pod].as_str() {
            cluster.logged(&namespace, &pod, lines.to_owned());
        }
    }
    cluster
}

macro_rules! record {
    ($name:literal) => {
        recorded(include_str!(concat!("recorded/", $name, ".json")))
    };
}

#[rstest]
#[case::image_absent(
    record!("image-absent"),
    "Deployment image-absent/web: the image quay.io/prometheus/prometheus:v9.9.9 of container `web` of pod"
)]
#[case::image_never(
    record!("image-never"),
    "Deployment image-never/web: the image quay.io/prometheus/prometheus:v9.9.9 of container `web` of pod"
)]
#[case::key_of_a_variable(
    record!("key-of-variable"),
    "Deployment key-of-variable/web: ConfigMap key-of-variable/settings has no key `absent`"
)]
#[case::key_of_a_volume(
    record!("key-of-volume"),
    "Deployment key-of-volume/web: the ConfigMap of volume `settings` has no key `absent`"
)]
#[case::secret_absent(
    record!("secret-absent"),
    "Deployment secret-absent/web: there is no Secret `keys`"
)]
#[case::class_unknown(
    record!("class-unknown"),
    "PersistentVolumeClaim class-unknown/data-web-0: there is no storage class `fast`; name one that is there (the cluster has standard); StatefulSet class-unknown/web waits for it"
)]
#[case::class_none(
    record!("class-none"),
    "PersistentVolumeClaim class-none/data-web-0: it names no storage class"
)]
#[case::quota(
    record!("quota"),
    "Deployment quota/web: its pod exceeds the quota small, requested: requests.cpu=10m"
)]
#[case::probe(
    record!("probe"),
    "Deployment probe/web: the liveness probe of container `web` of pod"
)]
#[case::startup_probe(
    record!("startup-probe"),
    "Deployment startup-probe/web: the startup probe of container `web` of pod"
)]
#[case::memory(record!("memory"), "Deployment memory/web: container `web` of pod")]
#[case::crash(record!("crash"), "Deployment crash/web: container `web` of pod")]
#[case::unschedulable(record!("unschedulable"), "Deployment unschedulable/web: no node takes pod")]
#[case::rights(
    record!("rights"),
    "Deployment rights/prometheus-operator: the service account rights/prometheus-operator may not list statefulsets of apps in namespace rights"
)]
#[case::port_name(
    record!("port-name"),
    "Service port-name/web: its port `http` goes to `metrics`, but pod"
)]
#[case::monitor_port(
    record!("monitor-port"),
    "ServiceMonitor monitor-port/web: it scrapes the port `metrics`, but Service monitor-port/web has http"
)]
fn a_breakage_is_told_by_its_cause_alone(#[case] cluster: Cluster, #[case] expected: &str) {
    let told: Vec<String> = causes(&cluster).iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].starts_with(expected), "{}\nis not\n{expected}", told[0]);
}

#[rstest]
#[case::of_a_service(
    record!("selector"),
    "Service selector/web: its selector matches no pod; the nearest, Pod selector/web-"
)]
#[case::of_a_monitor(
    record!("monitor-selector"),
    "ServiceMonitor monitor-selector/web: its selector matches no Service; Service monitor-selector/web has `app: web` where `website` is asked for: make them equal"
)]
fn a_selector_that_matches_nothing_is_told_at_rest(#[case] cluster: Cluster, #[case] expected: &str) {
    assert_eq!(causes(&cluster), [], "nothing else is wrong");
    let told: Vec<String> = causes_at_rest(&cluster).iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].starts_with(expected), "{}\nis not\n{expected}", told[0]);
}

/// The words behind a cause's beginning: what was found, and the remedy.
#[rstest]
#[case(record!("memory"), "was killed for want of memory; its limit is 12Mi: raise `resources.limits.memory`")]
#[case(record!("probe"), "HTTP probe failed with statuscode: 404")]
#[case(record!("startup-probe"), "HTTP probe failed with statuscode: 404")]
#[case(record!("crash"), "exit code 1: ")]
#[case(record!("image-never"), "load it into the cluster")]
#[case(record!("port-name"), "has http; use one of these names")]
fn a_cause_says_what_was_found(#[case] cluster: Cluster, #[case] expected: &str) {
    let told = causes(&cluster)[0].to_string();
    assert!(told.contains(expected), "{told}\ndoes not say\n{expected}");
}
/// The whole stack as it runs: its start has left warnings behind, and nothing is wrong.
#[test]
fn a_stack_that_is_up_has_no_causes() {
    let cluster = record!("monitoring");
    assert!(
        cluster.of_kind("Event").count() > 0,
        "there are traces of the start"
    );
    assert_eq!(causes(&cluster), []);
    assert_eq!(causes_at_rest(&cluster), []);
}
