//! A small tree and its surroundings, for the tests of rendering.

use std::path::Path;

use super::{Addresses, Endpoint};
use crate::deploy::DeployTree;
use crate::shapes::Shapes;

pub(super) const TREE: &str = r#"
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: prometheus, namespace: monitoring}
spec:
  image: quay.io/prometheus/prometheus:v3.16.0
  replicas: 2
  scrapeInterval: 30s
  scrapeTimeout: 10s
  evaluationInterval: 30s
  retention: 30d
  retentionSize: 85GB
  walCompression: true
  enableAdminAPI: true
  enableFeatures: [exemplar-storage, promql-experimental-functions]
  externalLabels: {cluster: llmoptimizer}
  serviceMonitorSelector: {matchLabels: {team: sre}}
  serviceDiscoveryRole: EndpointSlice
  ruleSelector: {}
  query: {maxSamples: 50000000, timeout: 2m}
  alerting:
    alertmanagers:
      - {namespace: monitoring, name: alertmanager, port: web, apiVersion: v2}
---
apiVersion: v1
kind: Service
metadata: {name: prometheus, namespace: monitoring, labels: {app.kubernetes.io/name: prometheus}}
spec: {ports: [{name: web, port: 9090, targetPort: web}]}
---
apiVersion: v1
kind: Service
metadata: {name: alertmanager, namespace: monitoring, labels: {app.kubernetes.io/name: alertmanager}}
spec: {ports: [{name: web, port: 9093}]}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: api-gateway, namespace: monitoring, labels: {team: sre}}
spec:
  jobLabel: app.kubernetes.io/name
  targetLabels: [tier]
  namespaceSelector: {matchNames: [llmoptimizer]}
  selector:
    matchLabels: {app.kubernetes.io/name: api-gateway}
    matchExpressions: [{key: tier, operator: In, values: [edge, core]}]
  endpoints:
    - port: metrics
      interval: 15s
      path: /metrics
      scheme: https
      tlsConfig: {insecureSkipVerify: true}
      honorLabels: true
      metricRelabelings:
        - {sourceLabels: [__name__], regex: go_.*, action: drop}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: prometheus, namespace: monitoring, labels: {team: sre}}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: prometheus}}
  endpoints: [{port: web}]
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: not-selected, namespace: monitoring}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: nobody}}
  endpoints: [{port: web}]
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: alerts, namespace: monitoring}
spec:
  groups:
    - name: g
      rules: [{alert: Down, expr: up == 0, for: 5m, labels: {severity: critical}}]
---
apiVersion: monitoring.coreos.com/v1
kind: Alertmanager
metadata: {name: alertmanager, namespace: monitoring}
spec: {replicas: 3, configSecret: alertmanager-config, retention: 120h, logLevel: info}
---
apiVersion: v1
kind: Secret
metadata: {name: alertmanager-config, namespace: monitoring}
stringData:
  alertmanager.yaml: |
    route:
      receiver: info
      group_by: [alertname]
      repeat_interval: 4h
      routes:
        - {receiver: critical, matchers: ['severity = "critical"'], group_wait: 0s, repeat_interval: 1h}
    receivers:
      - name: critical
        webhook_configs:
          - url: http://notification-gateway.monitoring:8080/alerts/critical
            send_resolved: true
      - name: info
        webhook_configs:
          - url: http://notification-gateway.monitoring:8080/alerts/info
            http_config: {authorization: {credentials: secret}}
    inhibit_rules:
      - source_matchers: ['severity = "critical"']
        target_matchers: ['severity = "info"']
        equal: [service]
"#;

const SHAPES: &str = r"
services:
  - name: api-gateway
    namespace: llmoptimizer
    labels: {app.kubernetes.io/name: api-gateway, tier: edge}
    ports: {http: 8080, metrics: 9102}
    instances: 2
    metrics: []
  - name: ml-service
    namespace: llmoptimizer
    labels: {app.kubernetes.io/name: ml-service, tier: core}
    ports: {metrics: 9102}
    metrics: []
";

pub(super) fn shapes() -> Shapes {
    Shapes::parse(Path::new("shapes.yaml"), SHAPES).unwrap()
}

pub(super) fn addresses() -> Addresses {
    let endpoint = |port: u16, played| Endpoint {
        address: ([127, 0, 0, 1], port).into(),
        played,
    };
    Addresses {
        endpoints: [
            (
                "llmoptimizer/api-gateway/metrics".to_owned(),
                vec![endpoint(20001, true), endpoint(20002, true)],
            ),
            (
                "monitoring/prometheus/web".to_owned(),
                vec![endpoint(20003, false)],
            ),
        ]
        .into_iter()
        .collect(),
        receiver: None,
    }
}

/// The project's own deploy tree.
pub(super) fn deployed() -> DeployTree {
    DeployTree::load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy"))).unwrap()
}

/// A loopback address.
pub(super) fn local(port: u16) -> std::net::SocketAddr {
    ([127, 0, 0, 1], port).into()
}
