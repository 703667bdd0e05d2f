//! What a refusal of the API server means. Its words are those of Kubernetes 1.37.

use rstest::rstest;

use super::*;

#[rstest]
#[case::a_kind_that_is_not_defined(
    404,
    "the server could not find the requested resource",
    "Prometheus monitoring/a: the cluster has no kind Prometheus of monitoring.coreos.com/v1; apply the definitions of its operator first"
)]
#[case::a_namespace_that_is_not_there(
    404,
    "namespaces \"monitoring\" not found",
    "Prometheus monitoring/a: refused by the API server: namespaces \"monitoring\" not found"
)]
#[case::a_user_without_the_right(
    403,
    "prometheuses.monitoring.coreos.com \"a\" is forbidden: User \"reader\" cannot patch resource",
    "Prometheus monitoring/a: the kubeconfig's user may not apply it: "
)]
#[case::a_quota(
    403,
    "pods \"a\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=0, limited: pods=0",
    "Prometheus monitoring/a: forbidden by a quota: "
)]
#[case::an_unknown_field(
    400,
    "failed to create typed patch object: .spec.replica: field not declared in schema",
    "Prometheus monitoring/a: refused by the API server: failed to create typed patch object"
)]
fn a_refusal_is_told_by_its_cause(#[case] code: u16, #[case] message: &str, #[case] expected: &str) {
    let name = ObjectName {
        kind: "Prometheus".to_owned(),
        namespace: "monitoring".to_owned(),
        name: "a".to_owned(),
    };
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(
        "monitoring.coreos.com",
        "v1",
        "Prometheus",
    ));
    let status = Status {
        status: None,
        code,
        message: message.to_owned(),
        metadata: None,
        reason: String::new(),
        details: None,
    };
    let told = refusal(&name, &resource, &status).to_string();
    assert!(told.starts_with(expected), "{told}\nis not\n{expected}");
    assert!(!passes(&status));
}

#[test]
fn the_definitions_of_the_set_say_what_a_resource_is_called() {
    let resources = Resources::of(&[serde_json::json!({
        "kind": "CustomResourceDefinition",
        "spec": {"group": "example.org", "names": {"kind": "Index", "plural": "indices"}},
    })]);
    let named = |api: &str, kind: &str| {
        let object = serde_json::json!({"apiVersion": api, "kind": kind, "metadata": {"name": "a"}});
        resources.of_object(&object).unwrap().plural
    };
    assert_eq!(named("example.org/v1", "Index"), "indices");
    assert_eq!(named("monitoring.coreos.com/v1", "Prometheus"), "prometheuses");
    assert_eq!(named("v1", "ConfigMap"), "configmaps");
    assert_eq!(named("networking.k8s.io/v1", "NetworkPolicy"), "networkpolicies");
}
