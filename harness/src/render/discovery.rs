//! Which monitor finds which port of which Service, and why one finds nothing.

use super::services::{KnownPort, KnownService, services};
use crate::deploy::kinds::prometheus::PrometheusSpec;
use crate::deploy::kinds::service_monitor::{Endpoint, NamespaceSelector, ServiceMonitorSpec};
use crate::deploy::kinds::{View, only, view};
use crate::deploy::nearest::{distance, nearest};
use crate::deploy::{DeployError, DeployTree};
use crate::shapes::Shapes;

/// The Prometheus object and what it discovers.
#[derive(Debug)]
pub(super) struct Discovery<'t> {
    pub(super) prometheus: View<'t, PrometheusSpec>,
    pub(super) jobs: Vec<Job<'t>>,
}

/// One endpoint of one monitor: a scrape job.
#[derive(Debug)]
pub(super) struct Job<'t> {
    pub(super) monitor: std::rc::Rc<View<'t, ServiceMonitorSpec>>,
    /// Which of the monitor's endpoints.
    pub(super) index: usize,
    /// What it finds, never nothing.
    pub(super) found: Vec<Found>,
}

/// A port of a Service.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) service: KnownService,
    pub(super) port: KnownPort,
}

impl Found {
    /// `namespace/service/port name`.
    pub(super) fn key(&self) -> String {
        format!("{}/{}", self.service.key(), self.port.name)
    }
}

impl Job<'_> {
    /// The job's name in the rendered file, as the operator writes it.
    pub(super) fn name(&self) -> String {
        let object = self.monitor.object;
        format!(
            "serviceMonitor/{}/{}/{}",
            object.namespace(),
            object.name(),
            self.index
        )
    }

    /// The endpoint.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.monitor.spec.endpoints[self.index]
    }
}

/// The monitors that hold objects of kinds that rendering does not know.
const UNKNOWN_MONITORS: [&str; 3] = ["PodMonitor", "Probe", "ScrapeConfig"];

/// Resolves every monitor that the Prometheus object selects, in file order.
pub(super) fn discover<'t>(tree: &'t DeployTree, shapes: &Shapes) -> Result<Discovery<'t>, DeployError> {
    let prometheus = only::<PrometheusSpec>(tree, "to render a Prometheus")?;
    refuse_unknown_monitors(tree, &prometheus)?;
    let services = services(tree, shapes)?;
    let mut jobs = Vec::new();
    for object in tree.of_kind("ServiceMonitor") {
        let taken = tree.selects(
            prometheus.object,
            prometheus.spec.service_monitor_selector.as_ref(),
            prometheus.spec.service_monitor_namespace_selector.as_ref(),
            object,
        );
        if !taken {
            continue;
        }
        let monitor = std::rc::Rc::new(view::<ServiceMonitorSpec>(object)?);
        let matched: Vec<&KnownService> = services
            .iter()
            .filter(|s| in_namespaces(&monitor, s) && monitor.spec.selector.matches(&s.labels))
            .collect();
        if matched.is_empty() {
            return Err(selects_nothing(&monitor, &services));
        }
        for (index, endpoint) in monitor.spec.endpoints.iter().enumerate() {
            let found: Vec<Found> = matched
                .iter()
                .flat_map(|service| {
                    service
                        .ports
                        .iter()
                        .filter(|port| is_meant(endpoint, port))
                        .map(|port| Found {
                            service: (*service).clone(),
                            port: port.clone(),
                        })
                })
                .collect();
            if found.is_empty() {
                return Err(no_port(&monitor, index, &matched));
            }
            jobs.push(Job {
                monitor: monitor.clone(),
                index,
                found,
            });
        }
    }
    Ok(Discovery { prometheus, jobs })
}

fn refuse_unknown_monitors(
    tree: &DeployTree,
    prometheus: &View<'_, PrometheusSpec>,
) -> Result<(), DeployError> {
    let spec = &prometheus.spec;
    let selectors = [
        (
            spec.pod_monitor_selector.as_ref(),
            spec.pod_monitor_namespace_selector.as_ref(),
        ),
        (
            spec.probe_selector.as_ref(),
            spec.probe_namespace_selector.as_ref(),
        ),
        (
            spec.scrape_config_selector.as_ref(),
            spec.scrape_config_namespace_selector.as_ref(),
        ),
    ];
    for (kind, (selector, namespaces)) in UNKNOWN_MONITORS.into_iter().zip(selectors) {
        if let Some(object) = tree
            .of_kind(kind)
            .find(|o| tree.selects(prometheus.object, selector, namespaces, o))
        {
            return Err(object.wrong(
                "kind",
                format!("{} selects it, but rendering knows no {kind}; describe the targets by a Service and a ServiceMonitor", prometheus.object.id()),
            ));
        }
    }
    Ok(())
}

fn in_namespaces(monitor: &View<'_, ServiceMonitorSpec>, service: &KnownService) -> bool {
    let NamespaceSelector { any, match_names } = &monitor.spec.namespace_selector;
    *any || if match_names.is_empty() {
        service.namespace == monitor.object.namespace()
    } else {
        match_names.contains(&service.namespace)
    }
}

/// Whether an endpoint means this port. An endpoint that names none means every one.
fn is_meant(endpoint: &Endpoint, port: &KnownPort) -> bool {
    match (&endpoint.port, &endpoint.target_port) {
        (Some(name), _) => port.name == *name,
        (None, Some(target)) => match &port.target {
            Some(declared) => *declared == target.0,
            None => port.name == target.0 || port.number.to_string() == target.0,
        },
        (None, None) => true,
    }
}

/// Says which label or namespace keeps the monitor from the Service it comes nearest to.
fn selects_nothing(monitor: &View<'_, ServiceMonitorSpec>, services: &[KnownService]) -> DeployError {
    let selector = &monitor.spec.selector;
    // Fewest differences first; among equals, the one whose values are spelt most alike.
    let apart = |service: &KnownService| {
        let unmet = selector.unmet(&service.labels);
        let letters: usize = unmet
            .iter()
            .map(|u| {
                let found = u.found.as_deref().unwrap_or_default();
                u.values
                    .iter()
                    .map(|v| distance(v, found))
                    .min()
                    .unwrap_or(found.len())
            })
            .sum();
        (
            unmet.len() + usize::from(!in_namespaces(monitor, service)),
            letters,
        )
    };
    let Some(near) = services.iter().min_by_key(|s| apart(s)) else {
        return monitor.object.wrong(
            "spec.selector",
            "selects nothing: neither the deploy tree nor the emitted shapes have a Service; declare the one it is meant for",
        );
    };
    let mut differences = Vec::new();
    if !in_namespaces(monitor, near) {
        let looked = match monitor.spec.namespace_selector.match_names.as_slice() {
            [] => monitor.object.namespace().to_owned(),
            names => names.join(", "),
        };
        differences.push(format!(
            "it looks in namespace {looked}, and the nearest Service {near} is in {of}",
            near = near.key(),
            of = near.namespace,
        ));
    }
    for unmet in selector.unmet(&near.labels) {
        let has = unmet.found.as_ref().map_or_else(
            || "has no such label".to_owned(),
            |value| format!("has `{value}`"),
        );
        differences.push(format!("{unmet}, the nearest Service {} {has}", near.key()));
    }
    let field = if in_namespaces(monitor, near) {
        "spec.selector"
    } else {
        "spec.namespaceSelector"
    };
    monitor
        .object
        .wrong(field, format!("selects nothing: {}", differences.join("; ")))
}

/// Says which ports there are instead.
fn no_port(monitor: &View<'_, ServiceMonitorSpec>, index: usize, matched: &[&KnownService]) -> DeployError {
    let endpoint = &monitor.spec.endpoints[index];
    let (field, wanted) = match (&endpoint.port, &endpoint.target_port) {
        (None, Some(target)) => ("targetPort", target.0.as_str()),
        (port, _) => ("port", port.as_deref().unwrap_or_default()),
    };
    let have: Vec<String> = matched
        .iter()
        .map(|s| format!("Service {} has {}", s.key(), s.port_names()))
        .collect();
    let names = matched
        .iter()
        .flat_map(|s| s.ports.iter().map(|p| p.name.as_str()));
    let hint = nearest(wanted, names).map_or_else(String::new, |near| format!("; the nearest is `{near}`"));
    monitor.object.wrong(
        format!("spec.endpoints[{index}].{field}"),
        format!(
            "selects nothing: no matched Service has port `{wanted}`: {}{hint}",
            have.join(", ")
        ),
    )
}
