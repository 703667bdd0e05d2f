use rstest::rstest;

use super::*;
use crate::deploy::tests::tree;
use crate::render::samples::{TREE, shapes};

/// The sample tree's configuration as the operator would write it, in as many other words as it has.
fn written() -> (String, IndexMap<String, String>) {
    let config = r#"
global:
  scrape_interval: 30s
  scrape_timeout: 10s
  external_labels:
    prometheus: monitoring/prometheus
    prometheus_replica: $(POD_NAME)
    cluster: llmoptimizer
  evaluation_interval: 30s
rule_files:
- /etc/prometheus/rules/prometheus-prometheus-rulefiles-0/*.yaml
scrape_configs:
- job_name: serviceMonitor/monitoring/prometheus/0
  honor_labels: false
  kubernetes_sd_configs:
  - role: endpointslice
    namespaces:
      names:
      - monitoring
  relabel_configs:
  - {source_labels: [job], target_label: __tmp_prometheus_job_name}
  - action: keep
    source_labels: [__meta_kubernetes_service_label_app_kubernetes_io_name, __meta_kubernetes_service_labelpresent_app_kubernetes_io_name]
    regex: (prometheus);true
  - {action: keep, source_labels: [__meta_kubernetes_endpointslice_port_name], regex: web}
  - source_labels: [__meta_kubernetes_endpointslice_address_target_kind, __meta_kubernetes_endpointslice_address_target_name]
    separator: ;
    regex: Node;(.*)
    replacement: ${1}
    target_label: node
  - source_labels: [__meta_kubernetes_endpointslice_address_target_kind, __meta_kubernetes_endpointslice_address_target_name]
    separator: ;
    regex: Pod;(.*)
    replacement: ${1}
    target_label: pod
  - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
  - {source_labels: [__meta_kubernetes_service_name], target_label: service}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
  - {source_labels: [__meta_kubernetes_pod_container_name], target_label: container}
  - {action: drop, source_labels: [__meta_kubernetes_pod_phase], regex: (Failed|Succeeded)}
  - {source_labels: [__meta_kubernetes_service_name], target_label: job, replacement: "${1}"}
  - {target_label: endpoint, replacement: web}
  - {source_labels: [__address__, __tmp_hash], target_label: __tmp_hash, regex: (.+);, replacement: $1, action: replace}
  - {source_labels: [__tmp_hash], target_label: __tmp_hash, modulus: 1, action: hashmod}
  - {source_labels: [__tmp_hash, __tmp_disable_sharding], regex: $(SHARD);|.+;.+, action: keep}
alerting:
  alert_relabel_configs:
  - {action: labeldrop, regex: prometheus_replica}
  alertmanagers:
  - path_prefix: /
    scheme: http
    kubernetes_sd_configs:
    - role: endpointslice
      namespaces: {names: [monitoring]}
    api_version: v2
    relabel_configs:
    - {action: keep, source_labels: [__meta_kubernetes_service_name], regex: alertmanager}
    - {action: keep, source_labels: [__meta_kubernetes_endpointslice_port_name], regex: web}
"#;
    let rules = r"
groups:
- name: g
  rules:
  - {alert: Down, expr: up == 0, for: 300s, labels: {severity: critical}}
";
    let key = "monitoring-alerts-0b9a2a0e-6f0f-4a8e-9d5c-3b7a8d1c2e4f.yaml";
    (
        config.to_owned(),
        IndexMap::from([(key.to_owned(), rules.to_owned())]),
    )
}

fn of(differences: &IndexMap<String, Vec<Difference>>) -> Vec<String> {
    differences
        .iter()
        .flat_map(|(part, found)| found.iter().map(move |one| format!("{part}: {one}")))
        .collect()
}

fn compared(config: &str, rules: &IndexMap<String, String>) -> Vec<String> {
    let ours = ours(&tree(TREE), &shapes()).unwrap();
    let theirs = operators(config, rules, "prometheus-prometheus-0").unwrap();
    of(&differences(&ours, &theirs))
        .into_iter()
        // The job that the text above leaves out.
        .filter(|one| !one.starts_with("job serviceMonitor/monitoring/api-gateway/0"))
        .collect()
}

#[test]
fn other_words_for_the_same_are_no_difference() {
    let (config, rules) = written();
    assert_eq!(compared(&config, &rules), Vec::<String>::new());
}

#[rstest]
#[case::a_setting(
    "scrape_timeout: 10s",
    "scrape_timeout: 5s",
    "global: scrape_timeout: 10s here, 5s by the operator"
)]
#[case::a_label(
    "cluster: llmoptimizer",
    "cluster: other",
    "global: external_labels.cluster: llmoptimizer here, other by the operator"
)]
#[case::a_field_too_many(
    "  honor_labels: false\n",
    "  honor_labels: false\n  scheme: https\n",
    "job serviceMonitor/monitoring/prometheus/0: scheme: nothing here, https by the operator"
)]
#[case::a_namespace(
    "      - monitoring\n",
    "      - other\n",
    "job serviceMonitor/monitoring/prometheus/0: kubernetes_sd_configs[0].namespaces.names[0]: monitoring here, other by the operator"
)]
#[case::a_role(
    "  - role: endpointslice\n    namespaces:\n",
    "  - role: endpoints\n    namespaces:\n",
    "job serviceMonitor/monitoring/prometheus/0: kubernetes_sd_configs[0].role: endpointslice here, endpoints by the operator"
)]
#[case::a_relabeling(
    "regex: (Failed|Succeeded)",
    "regex: Failed",
    "job serviceMonitor/monitoring/prometheus/0: relabel_configs[9].regex: (Failed|Succeeded) here, Failed by the operator"
)]
#[case::an_alertmanager(
    "regex: alertmanager}",
    "regex: other}",
    "alerting: alertmanagers[0].relabel_configs[0].regex: alertmanager here, other by the operator"
)]
fn a_difference_is_named_with_what_each_has(
    #[case] find: &str,
    #[case] replace: &str,
    #[case] expected: &str,
) {
    let (config, rules) = written();
    assert!(config.contains(find));
    assert_eq!(compared(&config.replacen(find, replace, 1), &rules), [expected]);
}

#[test]
fn two_shards_are_a_difference() {
    let (config, rules) = written();
    let found = compared(&config.replace("modulus: 1,", "modulus: 2,"), &rules);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("relabel_configs[12]: nothing here"),
        "{found:?}"
    );
}

#[test]
fn a_rule_object_that_the_operator_refused_is_missing_as_a_whole() {
    let (config, mut rules) = written();
    rules.clear();
    assert_eq!(
        compared(&config, &rules),
        ["rules monitoring-alerts: all of it: 1 fields here, nothing by the operator"]
    );
}

#[test]
fn another_expression_is_a_difference_of_its_rule() {
    let (config, mut rules) = written();
    rules[0] = rules[0].replace("up == 0", "up == 1");
    assert_eq!(
        compared(&config, &rules),
        ["rules monitoring-alerts: groups[0].rules[0].expr: up == 0 here, up == 1 by the operator"]
    );
}

#[test]
fn rules_are_found_by_what_the_configuration_reads() {
    let (config, _) = written();
    assert_eq!(
        rule_config_maps(&config).unwrap(),
        ["prometheus-prometheus-rulefiles-0"]
    );
    assert_eq!(object_of_rules("short.yaml"), "short");
    let error = operators("- a list", &IndexMap::new(), "p").unwrap_err();
    assert!(error.to_string().contains("no mapping"), "{error}");
}
