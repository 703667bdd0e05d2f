//! Prometheus: scrape configuration, rule files and arguments.

use std::time::Duration;

use indexmap::IndexMap;
use url::Url;

use super::arguments::Arguments;
use super::changes::Changes;
use super::config::{Alerting, AlertmanagerConfig, Config, Exemplars, Global, StaticConfig, Storage, Tsdb};
use super::discovery::discover;
use super::services::{KnownService, services};
use super::{PrometheusRequest, RenderError, Rendered, ResolvedTarget, rules, scrape, yaml};
use crate::deploy::kinds::View;
use crate::deploy::kinds::prometheus::{AlertmanagerEndpoints, PrometheusSpec, ReloadStrategy};
use crate::deploy::kinds::service_monitor::Relabeling;
use crate::deploy::nearest::nearest;
use crate::deploy::{DeployError, DeployTree};
use crate::shapes::Shapes;
use crate::stack::{RuleSet, Scrapes};
use crate::units::Span;

/// Scrape and evaluation interval of an object that gives none (prometheus-operator v0.85, API reference).
pub(super) const SCRAPE_INTERVAL: Span = Span(Duration::from_secs(30));

/// Retention of an object that gives neither time nor size (prometheus-operator v0.85, API reference).
const RETENTION: Span = Span(Duration::from_hours(24));

const FILE: &str = "prometheus.yml";

/// Renders a Prometheus of the tree's Prometheus object.
pub fn render(
    tree: &DeployTree,
    shapes: &Shapes,
    request: &PrometheusRequest<'_>,
) -> Result<Rendered, RenderError> {
    let discovery = discover(tree, shapes)?;
    let prometheus = &discovery.prometheus;
    let (object, spec) = (prometheus.object, &prometheus.spec);
    let mut changes = Changes::default();
    changes.cluster_only(prometheus);

    let rule_files = match request.rules {
        RuleSet::Nothing => IndexMap::new(),
        RuleSet::Declared => rules::files(&tree.rule_groups()?)?,
        RuleSet::Own(files) => files
            .iter()
            .map(|(name, text)| (format!("rules/{name}"), text.clone()))
            .collect(),
    };
    let scrape_configs = match request.scrapes {
        Scrapes::Nothing => Vec::new(),
        Scrapes::Declared => discovery
            .jobs
            .iter()
            .map(|job| scrape::declared(&discovery, job, request.addresses, &mut changes))
            .collect::<Result<_, _>>()?,
        Scrapes::Own(jobs) => jobs.iter().map(scrape::own).collect(),
    };
    if !matches!(request.scrapes, Scrapes::Declared) {
        changes.add(
            object,
            "spec.serviceMonitorSelector",
            format!("{} scrape jobs", discovery.jobs.len()),
            format!("{} scrape jobs of the case's own", scrape_configs.len()),
            "a clone scrapes what its case asks for",
        );
    }
    let declared_interval = spec.evaluation_interval.unwrap_or(SCRAPE_INTERVAL);
    let evaluation_interval = request.evaluation_interval.unwrap_or(declared_interval);
    changes.add(
        object,
        "spec.evaluationInterval",
        declared_interval.to_string(),
        evaluation_interval.to_string(),
        "the case runs rules on a scale of its own",
    );
    let config = Config {
        global: Global {
            evaluation_interval,
            scrape_interval: spec.scrape_interval.unwrap_or(SCRAPE_INTERVAL),
            scrape_timeout: spec.scrape_timeout,
            scrape_protocols: spec.scrape_protocols.clone(),
            external_labels: external_labels(prometheus)?,
        },
        rule_files: rule_files.keys().cloned().collect(),
        storage: Storage {
            tsdb: spec
                .tsdb
                .out_of_order_time_window
                .map(|out_of_order_time_window| Tsdb {
                    out_of_order_time_window,
                }),
            exemplars: spec
                .exemplars
                .max_size
                .map(|max_exemplars| Exemplars { max_exemplars }),
        },
        scrape_configs,
        alerting: alerting(tree, shapes, prometheus, request.alertmanagers, &mut changes)?,
    };
    let mut arguments = arguments(prometheus, request, &mut changes)?;
    for (flag, value, why) in request.arguments {
        changes
            .0
            .extend(arguments.replace(object, flag, value.as_deref(), why));
    }
    let mut files = IndexMap::from([(FILE.to_owned(), yaml::write(FILE, &config)?)]);
    files.extend(rule_files);
    Ok(Rendered {
        files,
        arguments: arguments.0,
        environment: Vec::new(),
        changed_values: changes.0,
    })
}

/// Which monitor scrapes which endpoint how often, as declared.
pub fn targets(tree: &DeployTree, shapes: &Shapes) -> Result<Vec<ResolvedTarget>, RenderError> {
    let discovery = discover(tree, shapes)?;
    let global = discovery
        .prometheus
        .spec
        .scrape_interval
        .unwrap_or(SCRAPE_INTERVAL);
    let mut targets = Vec::new();
    for job in &discovery.jobs {
        for found in &job.found {
            targets.push(ResolvedTarget {
                monitor: job.monitor.object.id(),
                scrape_job: job.name(),
                endpoint: found.key(),
                job: scrape::job_label(job, found),
                interval: job.endpoint().interval.unwrap_or(global),
                instances: found.service.instances,
            });
        }
    }
    Ok(targets)
}

/// The name of the label that tells replicas apart, none when the object wants none.
fn replica_label(spec: &PrometheusSpec) -> Option<&str> {
    let name = spec
        .replica_external_label_name
        .as_deref()
        .unwrap_or("prometheus_replica");
    (!name.is_empty()).then_some(name)
}

/// The object's external labels and the operator's own, which it does not let the object replace
/// (prometheus-operator v0.85, `buildExternalLabels`), sorted as it sorts them.
fn external_labels(prometheus: &View<'_, PrometheusSpec>) -> Result<IndexMap<String, String>, DeployError> {
    let (object, spec) = (prometheus.object, &prometheus.spec);
    let identity = spec
        .prometheus_external_label_name
        .as_deref()
        .unwrap_or("prometheus");
    let mut labels = IndexMap::new();
    if !identity.is_empty() {
        labels.insert(
            identity.to_owned(),
            format!("{}/{}", object.namespace(), object.name()),
        );
    }
    if let Some(replica) = replica_label(spec) {
        // The pod's name: of the first replica, which is the one that runs.
        labels.insert(replica.to_owned(), format!("prometheus-{}-0", object.name()));
    }
    for (name, value) in &spec.external_labels {
        if labels.contains_key(name) {
            return Err(object.wrong(
                format!("spec.externalLabels.{name}"),
                "the operator sets this label itself and ignores the one given here; rename it",
            ));
        }
        labels.insert(name.clone(), value.clone());
    }
    labels.sort_keys();
    Ok(labels)
}

fn alerting(
    tree: &DeployTree,
    shapes: &Shapes,
    prometheus: &View<'_, PrometheusSpec>,
    urls: &[Url],
    changes: &mut Changes,
) -> Result<Option<Alerting>, RenderError> {
    let (object, spec) = (prometheus.object, &prometheus.spec);
    for (index, declared) in spec.alerting.alertmanagers.iter().enumerate() {
        has_service(tree, shapes, prometheus, index, declared)?;
    }
    let Some(declared) = spec.alerting.alertmanagers.first() else {
        return Ok(None);
    };
    let at = |field: &str| format!("spec.alerting.alertmanagers[0].{field}");
    let namespace = declared.namespace.as_deref().unwrap_or(object.namespace());
    changes.add(
        object,
        at("name"),
        format!("Service {namespace}/{} port {}", declared.name, declared.port.0),
        urls.iter().map(Url::as_str).collect::<Vec<_>>().join(", "),
        "no Kubernetes API answers a plain process; alerts go to the Alertmanagers named for it",
    );
    for (index, other) in spec.alerting.alertmanagers.iter().enumerate().skip(1) {
        changes.add(
            object,
            format!("spec.alerting.alertmanagers[{index}]"),
            format!("Service {}", other.name),
            "not set",
            "the Alertmanagers named for a plain process stand for all that are declared",
        );
    }
    let Some(first) = urls.first() else {
        return Ok(None);
    };
    if declared
        .scheme
        .as_deref()
        .is_some_and(|s| !s.eq_ignore_ascii_case(first.scheme()))
    {
        let scheme = declared.scheme.clone().unwrap_or_default();
        changes.add(
            object,
            at("scheme"),
            scheme,
            first.scheme(),
            "the target's Alertmanager speaks plain HTTP on loopback",
        );
    }
    for (field, value) in [
        ("tlsConfig", &declared.tls_config),
        ("bearerTokenFile", &declared.bearer_token_file),
        ("authorization", &declared.authorization),
        ("basicAuth", &declared.basic_auth),
    ] {
        changes.left_out(
            object,
            at(field),
            value.as_ref(),
            "the target's Alertmanager asks nobody who they are",
        );
    }
    let path = first.path().trim_end_matches('/');
    let path_prefix = match declared.path_prefix.as_deref().map(|p| p.trim_end_matches('/')) {
        None | Some("") => path,
        Some(prefix) => {
            changes.add(
                object,
                at("pathPrefix"),
                prefix,
                path,
                "the target's Alertmanager has a path of its own",
            );
            path
        }
    };
    Ok(Some(Alerting {
        // Replicas tell their samples apart by this label, and their alerts must be the same.
        alert_relabel_configs: replica_label(spec)
            .map(|name| Relabeling {
                regex: Some(regex::escape(name)),
                action: Some("labeldrop".into()),
                ..Relabeling::default()
            })
            .into_iter()
            .collect(),
        alertmanagers: vec![AlertmanagerConfig {
            scheme: first.scheme().to_owned(),
            path_prefix: (!path_prefix.is_empty()).then(|| path_prefix.to_owned()),
            timeout: declared.timeout,
            api_version: declared.api_version.clone(),
            static_configs: vec![StaticConfig {
                targets: urls.iter().map(|url| url.authority().to_owned()).collect(),
                labels: IndexMap::new(),
            }],
            relabel_configs: declared.relabelings.clone(),
            alert_relabel_configs: declared.alert_relabelings.clone(),
        }],
    }))
}

/// Alerts to a Service or port that is not there are lost in a cluster, so they are refused here.
/// The operator makes the Service `alertmanager-operated` (port `web`) itself.
fn has_service(
    tree: &DeployTree,
    shapes: &Shapes,
    prometheus: &View<'_, PrometheusSpec>,
    index: usize,
    declared: &AlertmanagerEndpoints,
) -> Result<(), DeployError> {
    let object = prometheus.object;
    let namespace = declared.namespace.as_deref().unwrap_or(object.namespace());
    if declared.name == "alertmanager-operated" {
        return Ok(());
    }
    let known = services(tree, shapes)?;
    let Some(service) = known
        .iter()
        .find(|s| s.namespace == namespace && s.name == declared.name)
    else {
        let keys: Vec<String> = known.iter().map(KnownService::key).collect();
        let wanted = format!("{namespace}/{}", declared.name);
        let hint = nearest(&wanted, keys.iter().map(String::as_str))
            .map_or_else(String::new, |near| format!("; the nearest is {near}"));
        return Err(object.wrong(
            format!("spec.alerting.alertmanagers[{index}].name"),
            format!("alerts would go nowhere: there is no Service {wanted}{hint}"),
        ));
    };
    let wanted = &declared.port.0;
    if service
        .ports
        .iter()
        .any(|p| p.name == *wanted || p.number.to_string() == *wanted)
    {
        return Ok(());
    }
    Err(object.wrong(
        format!("spec.alerting.alertmanagers[{index}].port"),
        format!(
            "alerts would go nowhere: Service {} has no port `{wanted}` but {}",
            service.key(),
            service.port_names()
        ),
    ))
}

/// The arguments, in the operator's order (prometheus-operator v0.85, `BuildCommonPrometheusArgs`
/// and `appendServerArgs`).
fn arguments(
    prometheus: &View<'_, PrometheusSpec>,
    request: &PrometheusRequest<'_>,
    changes: &mut Changes,
) -> Result<Arguments, DeployError> {
    let (object, spec) = (prometheus.object, &prometheus.spec);
    let mut arguments = Arguments::default();
    arguments.value("config.file", FILE);
    if spec.reload_strategy.unwrap_or(ReloadStrategy::Http) == ReloadStrategy::Http {
        arguments.switch("web.enable-lifecycle");
    }
    arguments.optional("web.page-title", spec.web.page_title.as_ref());
    arguments.optional("web.max-connections", spec.web.max_connections);
    if spec.enable_remote_write_receiver {
        arguments.switch("web.enable-remote-write-receiver");
    }
    if !spec.enable_features.is_empty() {
        arguments.value("enable-feature", spec.enable_features.join(","));
    }
    arguments.optional("web.external-url", spec.external_url.as_ref());
    arguments.value("web.route-prefix", "/");
    if let Some(prefix) = &spec.route_prefix {
        changes.add(
            object,
            "spec.routePrefix",
            prefix,
            "/",
            "the target's clients ask at the root",
        );
    }
    arguments.optional("log.level", spec.log_level.as_ref());
    arguments.optional("log.format", spec.log_format.as_ref());
    let retention = match (spec.retention, spec.retention_size) {
        (None, None) => Some(RETENTION),
        (time, _) => time,
    };
    arguments.optional("storage.tsdb.retention.time", retention);
    arguments.optional("storage.tsdb.retention.size", spec.retention_size);
    arguments.value("storage.tsdb.path", "data");
    match spec.wal_compression {
        Some(true) => arguments.switch("storage.tsdb.wal-compression"),
        Some(false) => arguments.switch("no-storage.tsdb.wal-compression"),
        None => {}
    }
    if spec.enable_admin_api {
        arguments.switch("web.enable-admin-api");
    }
    arguments.optional("query.lookback-delta", spec.query.lookback_delta);
    arguments.optional("query.max-concurrency", spec.query.max_concurrency);
    arguments.optional("query.timeout", spec.query.timeout);
    arguments.optional("query.max-samples", spec.query.max_samples);
    arguments.optional(
        "rules.alert.for-outage-tolerance",
        spec.rules.alert.for_outage_tolerance,
    );
    arguments.optional("rules.alert.for-grace-period", spec.rules.alert.for_grace_period);
    arguments.optional("rules.alert.resend-delay", spec.rules.alert.resend_delay);
    arguments.value("web.listen-address", request.listen);
    let plain = "the target's clients speak plain HTTP on loopback";
    changes.left_out(object, "spec.web.tlsConfig", spec.web.tls_config.as_ref(), plain);
    changes.left_out(
        object,
        "spec.web.httpConfig",
        spec.web.http_config.as_ref(),
        plain,
    );
    for (index, argument) in spec.additional_args.iter().enumerate() {
        arguments.additional(object, index, &argument.name, argument.value.as_deref())?;
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::tests::tree;
    use crate::mutant::Edit;
    use crate::render::samples::{TREE, addresses, deployed, shapes};
    use crate::stack::OwnJob;
    use rstest::rstest;
    use serde_json::json;

    /// Monitors select Services that an operator makes as well as those of the tree; a Service that the tree
    /// declares twice under one name would be scraped twice.
    #[test]
    fn the_servers_of_traces_and_logs_are_each_one_endpoint_of_the_projects_tree() {
        let shapes = Shapes::load(std::path::Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../fixtures/shapes.yaml"
        )))
        .unwrap();
        let found = targets(&deployed(), &shapes).unwrap();
        for endpoint in [
            "monitoring/otel-collector/metrics",
            "monitoring/jaeger-collector/metrics",
            "monitoring/jaeger-query/metrics",
            "monitoring/elasticsearch-exporter/http",
            "monitoring/loki/http-metrics",
        ] {
            let job = endpoint.split('/').nth(1).unwrap_or_default();
            let of_job: Vec<_> = found
                .iter()
                .filter(|t| t.job == job)
                .map(|t| t.endpoint.as_str())
                .collect();
            assert_eq!(of_job, [endpoint]);
        }
    }

    fn rendered(
        tree: &DeployTree,
        scrapes: &Scrapes,
        arguments: &[(String, Option<String>, String)],
    ) -> Result<Rendered, RenderError> {
        let request = PrometheusRequest {
            addresses: &addresses(),
            listen: ([127, 0, 0, 1], 20003).into(),
            scrapes,
            rules: &RuleSet::Declared,
            alertmanagers: &["http://127.0.0.1:20004/".parse().unwrap()],
            evaluation_interval: None,
            arguments,
        };
        render(tree, &shapes(), &request)
    }

    fn lines(arguments: &[(String, Option<String>)]) -> String {
        let one = |(flag, value): &(String, Option<String>)| match value {
            Some(value) => format!("{flag}={value}"),
            None => flag.clone(),
        };
        arguments.iter().map(one).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_configuration_is_the_operators_with_static_targets() {
        let rendered = rendered(&tree(TREE), &Scrapes::Declared, &[]).unwrap();
        assert_eq!(
            rendered.files.keys().collect::<Vec<_>>(),
            ["prometheus.yml", "rules/monitoring-alerts.yaml"]
        );
        insta::assert_snapshot!(rendered.files["prometheus.yml"]);
    }

    #[test]
    fn arguments_come_from_the_object() {
        let rendered = rendered(&tree(TREE), &Scrapes::Declared, &[]).unwrap();
        insta::assert_snapshot!(lines(&rendered.arguments));
    }

    #[test]
    fn every_change_is_listed_with_its_reason() {
        let rendered = rendered(&tree(TREE), &Scrapes::Declared, &[]).unwrap();
        insta::assert_json_snapshot!(rendered.changed_values);
    }

    #[test]
    fn a_clones_argument_replaces_the_declared_one_and_is_listed() {
        let own = [(
            "--storage.tsdb.retention.time".to_owned(),
            Some("1h".to_owned()),
            "to see it end".to_owned(),
        )];
        let rendered = rendered(&tree(TREE), &Scrapes::Nothing, &own).unwrap();
        let retention: Vec<_> = rendered
            .arguments
            .iter()
            .filter(|(flag, _)| flag == "--storage.tsdb.retention.time")
            .collect();
        assert_eq!(
            retention,
            [&("--storage.tsdb.retention.time".to_owned(), Some("1h".to_owned()))]
        );
        let change = rendered.changed_values.last().unwrap();
        assert_eq!(
            (change.from.as_str(), change.to.as_str(), change.why.as_str()),
            ("30d", "1h", "to see it end")
        );
        assert!(!rendered.files["prometheus.yml"].contains("scrape_configs"));
    }

    #[test]
    fn a_cases_own_job_asks_for_protobuf_when_it_wants_native_histograms() {
        let job = OwnJob {
            job: "own".into(),
            address: "127.0.0.1:1".into(),
            interval: Duration::from_millis(500),
            labels: vec![("a".into(), "b".into())],
            native_histograms: true,
        };
        let rendered = rendered(&tree(TREE), &Scrapes::Own(vec![job]), &[]).unwrap();
        let text = &rendered.files["prometheus.yml"];
        assert!(
            text.contains("PrometheusProto") && text.contains("scrape_interval: 500ms"),
            "{text}"
        );
    }

    #[test]
    fn targets_are_resolved_as_declared() {
        let targets = targets(&tree(TREE), &shapes()).unwrap();
        let told: Vec<_> = targets
            .iter()
            .map(|t| {
                format!(
                    "{} {} {} {} {}",
                    t.scrape_job, t.endpoint, t.job, t.interval, t.instances
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "serviceMonitor/monitoring/api-gateway/0 llmoptimizer/api-gateway/metrics api-gateway 15s 2",
                "serviceMonitor/monitoring/prometheus/0 monitoring/prometheus/web prometheus 30s 1",
            ]
        );
    }

    const MONITOR: &str = "ServiceMonitor/api-gateway";

    #[rstest]
    #[case::label(
        &[Edit::set(MONITOR, "/spec/selector/matchLabels/app.kubernetes.io~1name", "api-gatway")],
        "spec.selector: selects nothing: label app.kubernetes.io/name is `api-gatway` here, the nearest Service llmoptimizer/api-gateway has `api-gateway`"
    )]
    #[case::missing_label(
        &[Edit::set(MONITOR, "/spec/selector/matchLabels/part", "x")],
        "label part is `x` here, the nearest Service llmoptimizer/api-gateway has no such label"
    )]
    #[case::namespace(
        &[Edit::remove(MONITOR, "/spec/namespaceSelector")],
        "spec.namespaceSelector: selects nothing: it looks in namespace monitoring, and the nearest Service llmoptimizer/api-gateway is in llmoptimizer"
    )]
    #[case::port(
        &[Edit::set(MONITOR, "/spec/endpoints/0/port", "metric")],
        "spec.endpoints[0].port: selects nothing: no matched Service has port `metric`: Service llmoptimizer/api-gateway has `http`, `metrics`; the nearest is `metrics`"
    )]
    #[case::unknown_field(
        &[Edit::set("Prometheus/prometheus", "/spec/retentionTime", "30d")],
        "spec.retentionTime: unknown field"
    )]
    #[case::wrong_unit(
        &[Edit::set("Prometheus/prometheus", "/spec/retention", "30 days")],
        "spec.retention: `30 days` is not a duration"
    )]
    #[case::timeout(
        &[Edit::set(MONITOR, "/spec/endpoints/0/scrapeTimeout", "20s")],
        "spec.endpoints[0].scrapeTimeout: 20s is longer than the scrape interval 15s"
    )]
    #[case::alertmanager(
        &[Edit::set("Prometheus/prometheus", "/spec/alerting/alertmanagers/0/name", "alertmanger")],
        "there is no Service monitoring/alertmanger; the nearest is monitoring/alertmanager"
    )]
    #[case::external_label(
        &[Edit::set("Prometheus/prometheus", "/spec/externalLabels/prometheus_replica", "x")],
        "spec.externalLabels.prometheus_replica: the operator sets this label itself"
    )]
    #[case::additional_argument(
        &[Edit::set("Prometheus/prometheus", "/spec/additionalArgs", json!([{"name": "storage.tsdb.path", "value": "x"}]))],
        "spec.additionalArgs[0].name: `--storage.tsdb.path` is set"
    )]
    fn what_does_not_fit_is_named_with_its_cause(#[case] edits: &[Edit], #[case] says: &str) {
        let tree = tree(TREE).edited(edits).unwrap();
        let error = rendered(&tree, &Scrapes::Declared, &[]).unwrap_err().to_string();
        assert!(error.starts_with("all.yaml:"), "{error}");
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn an_endpoint_without_an_address_is_named() {
        let request = PrometheusRequest {
            addresses: &super::super::Addresses::default(),
            listen: ([127, 0, 0, 1], 1).into(),
            scrapes: &Scrapes::Declared,
            rules: &RuleSet::Nothing,
            alertmanagers: &[],
            evaluation_interval: None,
            arguments: &[],
        };
        let error = render(&tree(TREE), &shapes(), &request).unwrap_err().to_string();
        assert!(
            error.starts_with("ServiceMonitor/api-gateway scrapes llmoptimizer/api-gateway/metrics, but"),
            "{error}"
        );
    }

    #[test]
    fn without_declared_alertmanagers_alerts_go_nowhere() {
        let tree = tree(TREE)
            .edited(&[Edit::remove("Prometheus/prometheus", "/spec/alerting")])
            .unwrap();
        let rendered = rendered(&tree, &Scrapes::Declared, &[]).unwrap();
        assert!(!rendered.files["prometheus.yml"].contains("alertmanagers"));
    }
}
