use super::*;
use crate::mutant::Edit;
use crate::render::samples::{deployed, local};
use rstest::rstest;

const SETUP: &str = "ConfigMap/elasticsearch-setup";

fn rendered(tree: &DeployTree, tiers: &[Tier], bent: bool) -> Result<Rendered, RenderError> {
    let masters = ["one".to_owned()];
    render(
        tree,
        &ElasticsearchRequest {
            name: "one",
            tiers,
            http: local(20001),
            transport: local(20002),
            seed_hosts: &[local(20002), local(20004)],
            initial_masters: &masters,
            folder: Path::new("/run/one"),
            repositories: Path::new("/run/repositories"),
            heap: Bytes(512 * 1024 * 1024),
            lifecycle_poll_interval: bent.then(|| "1s".parse().unwrap()),
            watermarks: bent.then_some(Watermarks {
                low: Bytes(3000),
                high: Bytes(2000),
                flood_stage: Bytes(1000),
            }),
        },
    )
}

fn setup_of(tree: &DeployTree, replicas: Option<u32>) -> Result<ElasticsearchSetup, RenderError> {
    setup(
        tree,
        &ElasticsearchSetupRequest {
            repository: Path::new("/run/repositories/daily"),
            replicas,
        },
    )
}

#[test]
fn a_node_of_one_tier_has_its_roles_and_the_runs_addresses() {
    let rendered = rendered(&deployed(), &[Tier::Warm], false).unwrap();
    insta::assert_snapshot!(rendered.files[FILE]);
    insta::assert_json_snapshot!((rendered.environment, rendered.changed_values));
}

#[test]
fn a_node_of_all_tiers_has_the_roles_of_all_and_what_is_bent_is_listed() {
    let rendered = rendered(&deployed(), &Tier::ALL, true).unwrap();
    insta::assert_snapshot!(rendered.files[FILE]);
    let bent: Vec<_> = rendered
        .changed_values
        .iter()
        .filter(|c| c.field.contains("poll_interval") || c.field.contains("watermark"))
        .map(|c| format!("{} -> {}", c.from, c.to))
        .collect();
    assert_eq!(
        bent,
        ["10m -> 1s", "40gb -> 3000b", "20gb -> 2000b", "10gb -> 1000b"]
    );
}

#[test]
fn tiers_that_differ_are_not_one_node() {
    let tree = deployed()
        .edited(&[Edit::set_embedded(
            "ConfigMap/elasticsearch-cold",
            "/data/elasticsearch.yml",
            "/cluster.name",
            "other",
        )])
        .unwrap();
    let error = rendered(&tree, &Tier::ALL, false).unwrap_err().to_string();
    assert!(
        error.contains(
            "ConfigMap/elasticsearch-cold: data[elasticsearch.yml][cluster.name]: differs from the hot tier's"
        ),
        "{error}"
    );
    assert!(rendered(&tree, &[Tier::Cold], false).is_ok());
}

#[rstest]
#[case(
    "/node.roles",
    Value::Null,
    "data[elasticsearch.yml][node.roles]: missing or not a list of texts"
)]
#[case("/path.shared_data", json!("/usr/share/x"), "data[elasticsearch.yml][path.shared_data]: `/usr/share/x` means")]
fn what_does_not_fit_is_named_with_its_place(#[case] inside: &str, #[case] value: Value, #[case] says: &str) {
    let tree = deployed()
        .edited(&[Edit::set_embedded(
            "ConfigMap/elasticsearch-hot",
            "/data/elasticsearch.yml",
            inside,
            value,
        )])
        .unwrap();
    let error = rendered(&tree, &[Tier::Hot], false).unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}

#[test]
fn the_setup_is_the_declared_one_with_a_folder_for_s3_and_no_roles() {
    let setup = setup_of(&deployed(), None).unwrap();
    insta::assert_json_snapshot!(
        setup
            .requests
            .iter()
            .map(|r| json!([r.method, r.path, r.document, r.body, r.unless]))
            .collect::<Vec<_>>()
    );
    insta::assert_json_snapshot!(setup.changed_values);
}

#[test]
fn a_cluster_of_one_node_has_no_copies() {
    let setup = setup_of(&deployed(), Some(0)).unwrap();
    for name in ["logs", "istio-access", "app"] {
        let template = setup.request(&format!("/_index_template/{name}")).unwrap();
        assert_eq!(
            template.body["template"]["settings"]["index"]["number_of_replicas"],
            0
        );
    }
    assert_eq!(setup.changed_values.iter().filter(|c| c.to == "0").count(), 3);
}

#[test]
fn a_phase_is_edited_inside_its_document() {
    let tree = deployed()
        .edited(&[Edit::set_embedded(
            SETUP,
            "/data/lifecycle.json",
            "/policy/phases/warm/min_age",
            "3d",
        )])
        .unwrap();
    let setup = setup_of(&tree, None).unwrap();
    let policy = setup.request("/_ilm/policy/logs").unwrap();
    assert_eq!(policy.api(), Some("_ilm"));
    assert_eq!(setup.requests.iter().filter(|r| r.api().is_none()).count(), 3);
    assert_eq!(policy.body["policy"]["phases"]["warm"]["min_age"], "3d");
}

#[rstest]
#[case(
    Edit::replace_text(SETUP, "/data/requests", "PUT /_ilm", "PATCH /_ilm"),
    "data[requests]: `PATCH /_ilm/policy/logs lifecycle.json` is no request"
)]
#[case(
    Edit::replace_text(SETUP, "/data/requests", " lifecycle.json", " lifecycel.json"),
    "data[lifecycel.json]: missing or not a text"
)]
#[case(
    Edit::set(SETUP, "/data/unused.json", "{}"),
    "data[unused.json]: no request sends this document"
)]
#[case(
    Edit::replace_text(SETUP, "/data/lifecycle.json", "{", "["),
    "data[lifecycle.json]: the file does not parse"
)]
fn a_setup_that_does_not_fit_is_named_with_its_place(#[case] edit: Edit, #[case] says: &str) {
    let tree = deployed().edited(&[edit]).unwrap();
    let error = setup_of(&tree, None).unwrap_err().to_string();
    assert!(
        error.contains(SETUP) && error.contains("elasticsearch.yaml:"),
        "{error}"
    );
    assert!(error.contains(says), "{error}");
}
