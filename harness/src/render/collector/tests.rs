use super::*;
use crate::mutant::Edit;
use crate::render::samples::{deployed, local};
use rstest::rstest;
use serde_json::json;

const OBJECT: &str = "OpenTelemetryCollector/otel";

fn rendered(tree: &DeployTree, sampling_percentages: &[(String, f64)]) -> Result<Rendered, RenderError> {
    render(
        tree,
        &CollectorRequest {
            instance: "otel",
            otlp_grpc: local(20001),
            otlp_http: local(20002),
            health: local(20003),
            telemetry: local(20004),
            exporter: local(20005),
            sampling_percentages,
        },
    )
}

#[test]
fn only_addresses_differ_from_the_declared_configuration() {
    let rendered = rendered(&deployed(), &[]).unwrap();
    insta::assert_snapshot!(rendered.files[FILE]);
    insta::assert_json_snapshot!((rendered.arguments, rendered.environment, rendered.changed_values));
}

#[test]
fn a_clone_samples_another_share() {
    let percentages = [("probabilistic_sampler/ml".to_owned(), 10.0061)];
    let rendered = rendered(&deployed(), &percentages).unwrap();
    assert!(rendered.files[FILE].contains("sampling_percentage: 10.0061"));
    assert!(
        rendered
            .changed_values
            .iter()
            .any(|c| c.from == "10" && c.to == "10.0061")
    );
    let declared = sampling_percentage(&deployed(), "otel", "probabilistic_sampler/ml").unwrap();
    assert!((declared - 10.0).abs() < f64::EPSILON);
}

#[rstest]
#[case(Edit::set(OBJECT, "/spec/config/receivers/kafka", json!({"brokers": ["kafka:9092"]})),
       "spec.config.receivers.kafka: rendering does not know which addresses and files `kafka` has")]
#[case(Edit::set(OBJECT, "/spec/config/processors/batch/metadata_keys", json!(["/etc/keys"])),
       "spec.config.processors.batch.metadata_keys[0]: `/etc/keys` means something inside a cluster only")]
#[case(
    Edit::remove(OBJECT, "/spec/config/service/telemetry/metrics/readers"),
    "spec.config.service.telemetry.metrics.readers[0].pull.exporter.prometheus: missing"
)]
#[case(
    Edit::remove(OBJECT, "/spec/config/exporters/otlp~1jaeger/endpoint"),
    "spec.config.exporters.otlp/jaeger.endpoint: missing or not a text"
)]
#[case(Edit::set(OBJECT, "/spec/replcas", 2), "spec.replcas: unknown field")]
#[case(Edit::set(OBJECT, "/spec/args", json!({"config": "x"})), "spec.args.config: the operator sets this argument itself")]
#[case(Edit::set(OBJECT, "/spec/config", "receivers:"), "spec.config: not a mapping")]
fn what_does_not_fit_is_named_with_its_place(#[case] edit: Edit, #[case] says: &str) {
    let tree = deployed().edited(&[edit]).unwrap();
    let error = rendered(&tree, &[]).unwrap_err().to_string();
    assert!(
        error.contains(OBJECT) && error.contains("opentelemetry-collector.yaml:"),
        "{error}"
    );
    assert!(error.contains(says), "{error}");
}

#[test]
fn a_sampler_that_is_not_there_is_no_clone() {
    let error = rendered(&deployed(), &[("probabilistic_sampler/x".to_owned(), 1.0)]).unwrap_err();
    assert!(error.to_string().contains("there is no such sampler"), "{error}");
}

/// What the tree's comments and the contract say about sampling.
#[test]
fn both_samplers_hash_alike_and_a_span_passes_one_of_them() {
    let tree = deployed();
    let object = tree.object(OBJECT).unwrap();
    let config = object.value.pointer("/spec/config").unwrap();
    let samplers = [
        &config["processors"]["probabilistic_sampler/default"],
        &config["processors"]["probabilistic_sampler/ml"],
    ];
    for field in ["mode", "hash_seed"] {
        assert_eq!(samplers[0][field], samplers[1][field]);
    }
    let pipelines = config["service"]["pipelines"].as_object().unwrap();
    for (name, pipeline) in pipelines {
        let samplers = pipeline["processors"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|p| p.as_str().unwrap().starts_with("probabilistic_sampler"))
            .count();
        assert_eq!(samplers, usize::from(name != "traces/in"), "{name}");
    }
}
