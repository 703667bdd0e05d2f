use super::*;
use crate::mutant::Edit;
use crate::render::samples::{deployed, local};
use rstest::rstest;

const OBJECT: &str = "OpenTelemetryCollector/jaeger";

fn url() -> Url {
    "http://127.0.0.1:20100/".parse().unwrap()
}

fn rendered(
    tree: &DeployTree,
    instance: &str,
    storage: &TraceStorage,
    divide_durations_by: u32,
) -> Result<Rendered, RenderError> {
    render(
        tree,
        &JaegerRequest {
            instance,
            listen: JaegerAddresses {
                otlp_grpc: local(20001),
                otlp_http: local(20002),
                query_http: local(20003),
                query_grpc: local(20004),
                sampling_http: local(20005),
                sampling_grpc: local(20006),
                health: local(20007),
                telemetry: local(20008),
            },
            storage,
            strategies_reload: (divide_durations_by > 1).then(|| "1s".parse().unwrap()),
            divide_durations_by,
        },
    )
}

fn elasticsearch() -> TraceStorage {
    TraceStorage::Elasticsearch(url())
}

#[test]
fn only_addresses_differ_from_the_declared_configuration() {
    let rendered = rendered(&deployed(), "jaeger", &elasticsearch(), 1).unwrap();
    insta::assert_snapshot!(rendered.files[FILE]);
    insta::assert_snapshot!(rendered.files[STRATEGIES]);
    insta::assert_json_snapshot!((rendered.arguments, rendered.environment, rendered.changed_values));
}

#[test]
fn the_adaptive_ones_timers_are_divided() {
    let rendered = rendered(&deployed(), "jaeger-adaptive", &elasticsearch(), 60).unwrap();
    assert_eq!(rendered.files.len(), 1);
    insta::assert_snapshot!(rendered.files[FILE]);
    let timers: Vec<_> = rendered
        .changed_values
        .iter()
        .filter(|c| c.why.starts_with("time is divided"))
        .map(|c| format!("{} {}", c.from, c.to))
        .collect();
    assert_eq!(timers, ["1m 1s", "2m 2s", "5s 83ms", "60s 1s"]);
}

#[test]
fn traces_may_stay_in_memory() {
    let rendered = rendered(&deployed(), "jaeger", &TraceStorage::Memory { max_traces: 5 }, 1).unwrap();
    assert!(!rendered.files[FILE].contains("server_urls"));
    assert!(rendered.files[FILE].contains("max_traces: 5"));
}

#[test]
fn the_strategies_file_is_read_soon_where_a_case_asks_for_it() {
    let rendered = rendered(&deployed(), "jaeger", &elasticsearch(), 60).unwrap();
    assert!(rendered.files[FILE].contains("reload_interval: 1s"));
}

#[rstest]
#[case(
    Edit::set(
        OBJECT,
        "/spec/config/extensions/remote_sampling/file/path",
        "/etc/other.json"
    ),
    "spec.config.extensions.remote_sampling.file.path: no ConfigMap is mounted at `/etc/other.json`"
)]
#[case(
    Edit::remove(OBJECT, "/spec/config/extensions/jaeger_query/grpc"),
    "spec.config.extensions.jaeger_query.grpc: missing; the extension listens on a default port"
)]
#[case(
    Edit::set(OBJECT, "/spec/config/extensions/jaeger_storage/backends/badger", serde_json::json!({"badger": {}})),
    "spec.config.extensions.jaeger_storage.backends.badger.badger: rendering does not know the storage `badger`"
)]
#[case(
    Edit::set(OBJECT, "/spec/config/extensions/jaeger_query/ui", serde_json::json!({"config_file": "/etc/ui.json"})),
    "spec.config.extensions.jaeger_query.ui.config_file: `/etc/ui.json` means something inside a cluster only"
)]
#[case(
    Edit::replace_text(
        "ConfigMap/jaeger-sampling-strategies",
        "/data/strategies.json",
        "0.01",
        "1 percent"
    ),
    "ConfigMap/jaeger-sampling-strategies: data[strategies.json]: Jaeger reads JSON here"
)]
fn what_does_not_fit_is_named_with_its_place(#[case] edit: Edit, #[case] says: &str) {
    let tree = deployed().edited(&[edit]).unwrap();
    let error = rendered(&tree, "jaeger", &elasticsearch(), 1)
        .unwrap_err()
        .to_string();
    assert!(error.contains(says), "{error}");
}

#[test]
fn an_object_that_is_not_there_is_named() {
    let error = rendered(&deployed(), "jeager", &elasticsearch(), 1)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("has no object `OpenTelemetryCollector/jeager`"),
        "{error}"
    );
}

#[test]
fn the_cleaner_keeps_what_is_declared_and_cleans_the_targets_server() {
    let tree = deployed();
    let url = url();
    let rendered = render_index_cleaner(&tree, &IndexCleanerRequest { storage: &url }).unwrap();
    insta::assert_json_snapshot!((rendered.arguments, rendered.environment, rendered.changed_values));
    let declared = index_cleaner(&tree).unwrap();
    assert_eq!((declared.days, declared.schedule.as_str()), (8, "5 0 * * *"));
}

#[test]
fn a_cleaner_without_days_is_refused() {
    let tree = deployed()
        .edited(&[Edit::set(
            "CronJob/jaeger-index-cleaner",
            "/spec/jobTemplate/spec/template/spec/containers/0/args/0",
            "a week",
        )])
        .unwrap();
    let error = index_cleaner(&tree).unwrap_err().to_string();
    assert!(
        error.contains("the cleaner takes the number of days and the server"),
        "{error}"
    );
}
