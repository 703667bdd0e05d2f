use super::*;
use crate::mutant::Edit;
use crate::render::samples::{deployed, local};
use rstest::rstest;

fn rendered(tree: &DeployTree, compaction: Option<Span>) -> Result<Rendered, RenderError> {
    render(
        tree,
        &LokiRequest {
            http: local(20001),
            grpc: local(20002),
            folder: Path::new("/run/loki"),
            compaction,
        },
    )
}

#[test]
fn one_process_with_folders_has_the_declared_limits() {
    let rendered = rendered(&deployed(), None).unwrap();
    insta::assert_snapshot!(rendered.files[FILE]);
    insta::assert_json_snapshot!((rendered.arguments, rendered.environment, rendered.changed_values));
    assert_eq!(retention(&deployed()).unwrap(), "30d".parse().unwrap());
}

#[test]
fn deletion_may_be_seen_sooner() {
    let rendered = rendered(&deployed(), Some("1s".parse().unwrap())).unwrap();
    assert!(rendered.files[FILE].contains("compaction_interval: 1s"));
    assert!(rendered.files[FILE].contains("retention_period: 30d"));
}

#[rstest]
#[case(Edit::set_embedded("ConfigMap/loki", "/data/loki.yaml", "/schema_config/configs", json!([])),
       "ConfigMap/loki: data[loki.yaml].schema_config.configs: missing or empty")]
#[case(Edit::set_embedded("ConfigMap/loki", "/data/loki.yaml", "/ruler", json!({"alertmanager_url": "http://alertmanager.monitoring:9093"})),
       "ConfigMap/loki: data[loki.yaml].ruler.alertmanager_url: `http://alertmanager.monitoring:9093` means")]
#[case(
    Edit::set(
        "StatefulSet/loki",
        "/spec/template/spec/containers/0/args/2",
        "-legacy-read-mode"
    ),
    "StatefulSet/loki: spec.template.spec.containers[0].args: rendering does not know the argument `-legacy-read-mode`"
)]
#[case(
    Edit::remove("StatefulSet/loki", "/spec/template/spec/volumes/0"),
    "no ConfigMap is mounted at `/etc/loki/loki.yaml`"
)]
fn what_does_not_fit_is_named_with_its_place(#[case] edit: Edit, #[case] says: &str) {
    let tree = deployed().edited(&[edit]).unwrap();
    let error = rendered(&tree, None).unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}
