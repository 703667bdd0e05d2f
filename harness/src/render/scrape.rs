//! Scrape configurations: what the operator generates for a monitor's endpoint,
//! with static targets in place of Kubernetes discovery.
//!
//! The static targets carry the meta labels that discovery would give them, so
//! that the operator's relabeling, and whatever the monitor adds to it, is the
//! same text as in a cluster (prometheus-operator v0.85, pkg/prometheus/promcfg.go,
//! `generateServiceMonitorConfig`).

use indexmap::IndexMap;

use super::changes::Changes;
use super::config::{ScrapeConfig, StaticConfig};
use super::discovery::{Discovery, Found, Job};
use super::{Addresses, RenderError};
use crate::deploy::kinds::service_monitor::{DiscoveryRole, Relabeling};
use crate::deploy::selector::{Operator, Requirement};
use crate::stack::OwnJob;
use crate::units::Span;

const NO_IDENTITY: &str =
    "the target's processes speak plain HTTP on loopback; in the cluster this proves or checks who is asked";

/// The scrape configuration of a case's own job.
pub(super) fn own(job: &OwnJob) -> ScrapeConfig {
    let protocols: &[&str] = if job.native_histograms {
        // Native histograms exist in the protobuf format alone.
        &[
            "PrometheusProto",
            "OpenMetricsText1.0.0",
            "OpenMetricsText0.0.1",
            "PrometheusText0.0.4",
        ]
    } else {
        &[]
    };
    ScrapeConfig {
        job_name: job.job.clone(),
        scrape_interval: Some(Span(job.interval)),
        scrape_protocols: protocols.iter().map(|p| (*p).to_owned()).collect(),
        scrape_native_histograms: job.native_histograms.then_some(true),
        static_configs: vec![StaticConfig {
            targets: vec![job.address.clone()],
            labels: job.labels.iter().cloned().collect(),
        }],
        ..ScrapeConfig::default()
    }
}

/// The scrape configuration of a monitor's endpoint.
pub(super) fn declared(
    discovery: &Discovery<'_>,
    job: &Job<'_>,
    addresses: &Addresses,
    changes: &mut Changes,
) -> Result<ScrapeConfig, RenderError> {
    let prometheus = &discovery.prometheus.spec;
    let (object, monitor, endpoint) = (job.monitor.object, &job.monitor.spec, job.endpoint());
    let at = |field: &str| format!("spec.endpoints[{}].{field}", job.index);
    let global = prometheus
        .scrape_interval
        .unwrap_or(super::prometheus::SCRAPE_INTERVAL);
    if let Some(timeout) = endpoint.scrape_timeout {
        let interval = endpoint.interval.unwrap_or(global);
        if timeout > interval {
            return Err(object
                .wrong(
                    at("scrapeTimeout"),
                    format!("{timeout} is longer than the scrape interval {interval}, which Prometheus refuses; shorten it"),
                )
                .into());
        }
    }
    let role = monitor
        .service_discovery_role
        .or(prometheus.service_discovery_role)
        .unwrap_or(DiscoveryRole::Endpoints);
    let static_configs = targets(job, role, addresses)?;
    changes.add(
        object,
        at("port"),
        format!("Kubernetes discovery of {}", found(&job.found)),
        format!(
            "{} static targets with the meta labels discovery gives",
            static_configs.len()
        ),
        "no Kubernetes API answers a plain process; ports are the target's",
    );
    if let Some(scheme) = endpoint
        .scheme
        .as_deref()
        .filter(|s| !s.eq_ignore_ascii_case("http"))
    {
        changes.add(object, at("scheme"), scheme, "http", NO_IDENTITY);
    }
    let identity = [
        ("tlsConfig", &endpoint.tls_config),
        ("bearerTokenFile", &endpoint.bearer_token_file),
        ("bearerTokenSecret", &endpoint.bearer_token_secret),
        ("authorization", &endpoint.authorization),
        ("basicAuth", &endpoint.basic_auth),
        ("oauth2", &endpoint.oauth2),
        ("proxyUrl", &endpoint.proxy_url),
    ];
    for (field, value) in identity {
        changes.left_out(object, at(field), value.as_ref(), NO_IDENTITY);
    }
    let factor = match &monitor.native_histogram_min_bucket_factor {
        None => None,
        Some(text) => Some(text.0.parse::<f64>().map_err(|_| {
            object.wrong(
                "spec.nativeHistogramMinBucketFactor",
                format!(
                    "`{}` is not a number; write it plainly, for example \"1.1\"",
                    text.0
                ),
            )
        })?),
    };
    let honor_timestamps = match endpoint.honor_timestamps {
        None if !prometheus.override_honor_timestamps => None,
        declared => Some(declared.unwrap_or(false) && !prometheus.override_honor_timestamps),
    };
    Ok(ScrapeConfig {
        job_name: job.name(),
        honor_labels: Some(endpoint.honor_labels && !prometheus.override_honor_labels),
        honor_timestamps,
        track_timestamps_staleness: endpoint.track_timestamps_staleness,
        scrape_interval: endpoint.interval,
        scrape_timeout: endpoint.scrape_timeout,
        scrape_protocols: monitor.scrape_protocols.clone(),
        fallback_scrape_protocol: monitor.fallback_scrape_protocol.clone(),
        scrape_native_histograms: None,
        always_scrape_classic_histograms: monitor.scrape_classic_histograms,
        convert_classic_histograms_to_nhcb: monitor.convert_classic_histograms,
        native_histogram_bucket_limit: monitor.native_histogram_bucket_limit,
        native_histogram_min_bucket_factor: factor,
        metrics_path: endpoint.path.clone().filter(|p| !p.is_empty()),
        params: endpoint.params.clone(),
        scheme: endpoint.scheme.as_ref().map(|_| "http".to_owned()),
        follow_redirects: endpoint.follow_redirects,
        enable_http2: endpoint.enable_http2,
        sample_limit: monitor.sample_limit,
        target_limit: monitor.target_limit,
        label_limit: monitor.label_limit,
        label_name_length_limit: monitor.label_name_length_limit,
        label_value_length_limit: monitor.label_value_length_limit,
        keep_dropped_targets: monitor.keep_dropped_targets,
        body_size_limit: monitor.body_size_limit.clone(),
        static_configs,
        relabel_configs: relabelings(discovery, job, role),
        metric_relabel_configs: endpoint.metric_relabelings.clone(),
    })
}

fn found(found: &[Found]) -> String {
    let keys: Vec<String> = found.iter().map(Found::key).collect();
    keys.join(", ")
}

/// One static configuration an address, with the meta labels of Kubernetes discovery.
fn targets(
    job: &Job<'_>,
    role: DiscoveryRole,
    addresses: &Addresses,
) -> Result<Vec<StaticConfig>, RenderError> {
    let mut configs = Vec::new();
    for found in &job.found {
        let key = found.key();
        let endpoints = addresses
            .endpoints
            .get(&key)
            .filter(|endpoints| !endpoints.is_empty())
            .ok_or_else(|| RenderError::NoAddress {
                endpoint: key,
                monitor: job.monitor.object.id(),
            })?;
        for (ordinal, endpoint) in endpoints.iter().enumerate() {
            configs.push(StaticConfig {
                targets: vec![endpoint.address.to_string()],
                labels: meta_labels(found, role, ordinal),
            });
        }
    }
    Ok(configs)
}

/// What `kubernetes_sd_configs` tells about an endpoint (Prometheus 3.16, discovery/kubernetes),
/// as far as a Service and an ordinal tell it. Pods have their Service's labels.
fn meta_labels(found: &Found, role: DiscoveryRole, ordinal: usize) -> IndexMap<String, String> {
    let service = &found.service;
    let pod = format!("{}-{ordinal}", service.name);
    let flavour = match role {
        DiscoveryRole::Endpoints => "endpoint",
        DiscoveryRole::EndpointSlice => "endpointslice",
    };
    let mut labels: IndexMap<String, String> = [
        ("namespace".to_owned(), service.namespace.clone()),
        ("service_name".to_owned(), service.name.clone()),
        (format!("{flavour}_port_name"), found.port.name.clone()),
        (format!("{flavour}_address_target_kind"), "Pod".to_owned()),
        (format!("{flavour}_address_target_name"), pod.clone()),
        ("pod_name".to_owned(), pod),
        ("pod_container_name".to_owned(), service.name.clone()),
        (
            "pod_container_port_name".to_owned(),
            found
                .port
                .target
                .clone()
                .unwrap_or_else(|| found.port.name.clone()),
        ),
        (
            "pod_container_port_number".to_owned(),
            found.port.number.to_string(),
        ),
        ("pod_phase".to_owned(), "Running".to_owned()),
        ("pod_ready".to_owned(), "true".to_owned()),
    ]
    .into_iter()
    .collect();
    for (name, value) in &service.labels {
        let name = sanitized(name);
        for owner in ["service", "pod"] {
            labels.insert(format!("{owner}_label_{name}"), value.clone());
            labels.insert(format!("{owner}_labelpresent_{name}"), "true".to_owned());
        }
    }
    labels
        .into_iter()
        .map(|(name, value)| (format!("__meta_kubernetes_{name}"), value))
        .collect()
}

/// A label name with every other character replaced, as the operator and discovery do it.
fn sanitized(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '_'
            }
        })
        .collect()
}

/// The operator's relabeling, in its order. Its sharding rules are left out: with one shard they
/// keep everything.
fn relabelings(discovery: &Discovery<'_>, job: &Job<'_>, role: DiscoveryRole) -> Vec<Relabeling> {
    let (monitor, endpoint) = (&job.monitor.spec, job.endpoint());
    let mut rules = vec![Relabeling {
        source_labels: vec!["job".into()],
        target_label: Some("__tmp_prometheus_job_name".into()),
        ..Relabeling::default()
    }];
    let mut exact: Vec<_> = monitor.selector.match_labels.iter().collect();
    exact.sort();
    for (key, value) in exact {
        rules.push(select("keep", key, std::slice::from_ref(value)));
    }
    for Requirement {
        key,
        operator,
        values,
    } in &monitor.selector.match_expressions
    {
        rules.push(match operator {
            Operator::In => select("keep", key, values),
            Operator::NotIn => select("drop", key, values),
            Operator::Exists => present("keep", key),
            Operator::DoesNotExist => present("drop", key),
        });
    }
    let flavour = match role {
        DiscoveryRole::Endpoints => "endpoint",
        DiscoveryRole::EndpointSlice => "endpointslice",
    };
    let meta = |name: &str| format!("__meta_kubernetes_{name}");
    let label = |source: String, target: &str| Relabeling {
        source_labels: vec![source],
        target_label: Some(target.to_owned()),
        ..Relabeling::default()
    };
    let keep = |source: String, regex: &str| Relabeling {
        source_labels: vec![source],
        regex: Some(regex.to_owned()),
        action: Some("keep".into()),
        ..Relabeling::default()
    };
    match (&endpoint.port, &endpoint.target_port) {
        (Some(port), _) => rules.push(keep(meta(&format!("{flavour}_port_name")), port)),
        (None, Some(target)) if target.0.parse::<u16>().is_ok() => {
            rules.push(keep(meta("pod_container_port_number"), &target.0));
        }
        (None, Some(target)) => rules.push(keep(meta("pod_container_port_name"), &target.0)),
        (None, None) => {}
    }
    for (kind, target) in [("Node", "node"), ("Pod", "pod")] {
        rules.push(Relabeling {
            source_labels: vec![
                meta(&format!("{flavour}_address_target_kind")),
                meta(&format!("{flavour}_address_target_name")),
            ],
            separator: Some(";".into()),
            regex: Some(format!("{kind};(.*)")),
            target_label: Some(target.into()),
            replacement: Some("${1}".into()),
            ..Relabeling::default()
        });
    }
    rules.push(label(meta("namespace"), "namespace"));
    rules.push(label(meta("service_name"), "service"));
    rules.push(label(meta("pod_name"), "pod"));
    rules.push(label(meta("pod_container_name"), "container"));
    if endpoint.filter_running.unwrap_or(true) {
        rules.push(Relabeling {
            source_labels: vec![meta("pod_phase")],
            regex: Some("(Failed|Succeeded)".into()),
            action: Some("drop".into()),
            ..Relabeling::default()
        });
    }
    let copied = |owner: &str, from: &str, to: &str| Relabeling {
        source_labels: vec![meta(&format!("{owner}_label_{}", sanitized(from)))],
        regex: Some("(.+)".into()),
        target_label: Some(to.to_owned()),
        replacement: Some("${1}".into()),
        ..Relabeling::default()
    };
    for name in &monitor.target_labels {
        rules.push(copied("service", name, &sanitized(name)));
    }
    for name in monitor
        .pod_target_labels
        .iter()
        .chain(&discovery.prometheus.spec.pod_target_labels)
    {
        rules.push(copied("pod", name, &sanitized(name)));
    }
    rules.push(Relabeling {
        replacement: Some("${1}".into()),
        ..label(meta("service_name"), "job")
    });
    if let Some(from) = monitor.job_label.as_deref().filter(|l| !l.is_empty()) {
        rules.push(copied("service", from, "job"));
    }
    let name = endpoint
        .port
        .as_deref()
        .or(endpoint.target_port.as_ref().map(|t| t.0.as_str()));
    if let Some(name) = name {
        rules.push(Relabeling {
            target_label: Some("endpoint".into()),
            replacement: Some(name.to_owned()),
            ..Relabeling::default()
        });
    }
    rules.extend(endpoint.relabelings.iter().cloned());
    rules
}

/// Keeps or drops by the value of a Service's label.
fn select(action: &str, key: &str, values: &[String]) -> Relabeling {
    let name = sanitized(key);
    Relabeling {
        source_labels: vec![
            format!("__meta_kubernetes_service_label_{name}"),
            format!("__meta_kubernetes_service_labelpresent_{name}"),
        ],
        regex: Some(format!("({});true", values.join("|"))),
        action: Some(action.to_owned()),
        ..Relabeling::default()
    }
}

/// Keeps or drops by the presence of a Service's label.
fn present(action: &str, key: &str) -> Relabeling {
    Relabeling {
        source_labels: vec![format!(
            "__meta_kubernetes_service_labelpresent_{}",
            sanitized(key)
        )],
        regex: Some("true".into()),
        action: Some(action.to_owned()),
        ..Relabeling::default()
    }
}

/// The `job` label that a target gets: the value of the Service's label that `jobLabel` names,
/// else the Service's name; a relabeling may set it to a constant.
pub(super) fn job_label(job: &Job<'_>, found: &Found) -> String {
    let constant = job.endpoint().relabelings.iter().rev().find(|r| {
        r.target_label.as_deref() == Some("job")
            && r.source_labels.is_empty()
            && r.regex.is_none()
            && r.action
                .as_deref()
                .is_none_or(|a| a.eq_ignore_ascii_case("replace"))
    });
    if let Some(value) = constant.and_then(|r| r.replacement.clone()) {
        return value;
    }
    let labelled = job
        .monitor
        .spec
        .job_label
        .as_ref()
        .and_then(|label| found.service.labels.get(label))
        .filter(|value| !value.is_empty());
    labelled.unwrap_or(&found.service.name).clone()
}
