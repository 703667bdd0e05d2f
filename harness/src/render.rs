//! From the deploy tree's objects to what a plain process reads.
//!
//! Does what the Prometheus operator does in a cluster (its v0.85 semantics),
//! with addresses and paths of the target; everything else is the tree's.
//! Pure: values in, texts out. Every value that differs from the tree is
//! listed as a [`ChangedValue`] with its reason.

use std::net::SocketAddr;

use indexmap::IndexMap;
use url::Url;

use crate::deploy::{DeployError, DeployTree};
use crate::mutant::Edit;
use crate::shapes::Shapes;
use crate::stack::{ChangedValue, RuleSet, Scrapes};
use crate::units::Span;

pub mod alertmanager;
mod arguments;
mod changes;
pub mod collector;
mod config;
mod discovery;
mod document;
pub mod elasticsearch;
mod environment;
pub mod jaeger;
pub mod loki;
pub mod operator;
mod pipelines;
pub mod prometheus;
pub mod rules;
#[cfg(test)]
mod samples;
pub mod scaled;
mod scrape;
mod services;
pub(crate) mod yaml;

/// Where a target has put things.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Endpoints by `namespace/service/port name`: the players', and those of the target's real
    /// servers (`monitoring/prometheus/web`, `monitoring/alertmanager/web`).
    pub endpoints: IndexMap<String, Vec<Endpoint>>,
    /// The webhook receiver; the paths of the declared URLs are kept.
    pub receiver: Option<Url>,
}

/// One endpoint of a Kubernetes Service as the target runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Address to scrape.
    pub address: SocketAddr,
    /// True when the harness plays it, false for a real server.
    pub played: bool,
}

/// A rendered server: its files, by name relative to its folder, and its arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    /// Files by relative path.
    pub files: IndexMap<String, String>,
    /// Arguments (flag with dashes, value) in order. Paths among them are relative to the server's folder.
    pub arguments: Vec<(String, Option<String>)>,
    /// Environment variables (name, value), in the tree's order.
    pub environment: Vec<(String, String)>,
    /// What differs from the tree.
    pub changed_values: Vec<ChangedValue>,
}

/// What to render a Prometheus for.
#[derive(Debug, Clone)]
pub struct PrometheusRequest<'a> {
    /// Where things are.
    pub addresses: &'a Addresses,
    /// Where it listens.
    pub listen: SocketAddr,
    /// What it scrapes.
    pub scrapes: &'a Scrapes,
    /// What it evaluates.
    pub rules: &'a RuleSet,
    /// Where it sends alerts.
    pub alertmanagers: &'a [Url],
    /// Evaluation interval in place of the tree's.
    pub evaluation_interval: Option<Span>,
    /// Further arguments, with reasons.
    pub arguments: &'a [(String, Option<String>, String)],
}

/// What to render an Alertmanager for.
#[derive(Debug, Clone)]
pub struct AlertmanagerRequest {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where webhooks go instead of the declared host (paths are kept).
    pub receiver: Url,
    /// Divides every duration of its file.
    pub divide_durations_by: u32,
}

/// Why the tree cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The tree does not fit.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// An endpoint that a monitor scrapes runs nowhere.
    #[error(
        "{monitor} scrapes {endpoint}, but the target has no address of it; describe the service in the emitted \
         shapes, or leave the monitor out"
    )]
    NoAddress {
        /// `namespace/service/port name`.
        endpoint: String,
        /// `ServiceMonitor/name`.
        monitor: String,
    },
    /// A file cannot be written as YAML.
    #[error("{file} cannot be written as YAML: {why}")]
    Unwritable {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
    /// A drift (an edit after rendering) finds nothing to change.
    #[error("the drift of `{place}` finds nothing to change in {object}")]
    DriftMissed {
        /// The executable or file.
        object: String,
        /// What was looked for.
        place: String,
    },
}

/// One scrape target that rendering resolved: from which monitor, to which endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedTarget {
    /// `ServiceMonitor/name`.
    pub monitor: String,
    /// The scrape job's name in the rendered file (`serviceMonitor/namespace/name/index`, as the operator writes it).
    pub scrape_job: String,
    /// `namespace/service/port`.
    pub endpoint: String,
    /// Value of the `job` label.
    pub job: String,
    /// Declared scrape interval, the Prometheus object's where the monitor gives none.
    pub interval: Span,
    /// How many addresses.
    pub instances: usize,
}

/// Puts the drifts among `edits` on a rendered server. A drift for another executable or file is
/// left alone; `missed` drifts are reported by the caller once all servers are rendered.
#[must_use]
pub fn drift(mut rendered: Rendered, executable: &str, edits: &[Edit]) -> (Rendered, usize) {
    let mut made = 0;
    for edit in edits {
        match edit {
            Edit::Argument {
                executable: of,
                flag,
                value,
            } if of == executable => {
                let wanted = value.as_ref().map(|value| (flag.clone(), Some(value.clone())));
                let (found, others): (Vec<_>, Vec<_>) =
                    rendered.arguments.drain(..).partition(|(name, _)| name == flag);
                made += usize::from(found.as_slice() != wanted.as_slice());
                rendered.arguments = others;
                rendered.arguments.extend(wanted);
            }
            Edit::RenderedText { file, find, replace } => {
                for (name, text) in &mut rendered.files {
                    if (name == file || name.rsplit('/').next() == Some(file))
                        && text.contains(find.as_str())
                        && find != replace
                    {
                        made += 1;
                        *text = text.replace(find.as_str(), replace);
                    }
                }
            }
            _ => {}
        }
    }
    (rendered, made)
}

/// Renders a Prometheus of the tree's Prometheus object.
pub fn prometheus(
    tree: &DeployTree,
    shapes: &Shapes,
    request: &PrometheusRequest<'_>,
) -> Result<Rendered, RenderError> {
    prometheus::render(tree, shapes, request)
}

/// Renders an Alertmanager of the tree's Alertmanager object.
pub fn alertmanager(tree: &DeployTree, request: &AlertmanagerRequest) -> Result<Rendered, RenderError> {
    alertmanager::render(tree, request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered() -> Rendered {
        Rendered {
            files: [
                ("prometheus.yml".to_owned(), "a: 1\n".to_owned()),
                ("rules/x.yaml".to_owned(), "for: 5m\n".to_owned()),
            ]
            .into_iter()
            .collect(),
            arguments: vec![("--a".to_owned(), Some("1".to_owned())), ("--b".to_owned(), None)],
            environment: Vec::new(),
            changed_values: Vec::new(),
        }
    }

    #[test]
    fn drifts_change_arguments_and_files() {
        let edits = [
            Edit::argument("prometheus", "--a", Some("2")),
            Edit::argument("prometheus", "--b", None),
            Edit::rendered_text("x.yaml", "5m", "6m"),
            Edit::argument("alertmanager", "--a", Some("3")),
        ];
        let (drifted, made) = drift(rendered(), "prometheus", &edits);
        assert_eq!(made, 3);
        assert_eq!(drifted.arguments, [("--a".to_owned(), Some("2".to_owned()))]);
        assert_eq!(drifted.files["rules/x.yaml"], "for: 6m\n");
    }

    #[test]
    fn a_drift_that_changes_nothing_is_not_made() {
        let edits = [
            Edit::argument("prometheus", "--a", Some("1")),
            Edit::argument("prometheus", "--c", None),
            Edit::rendered_text("x.yaml", "5m", "5m"),
            Edit::rendered_text("x.yaml", "7m", "5m"),
        ];
        let (drifted, made) = drift(rendered(), "prometheus", &edits);
        assert_eq!(made, 0);
        assert_eq!(
            drifted,
            Rendered {
                arguments: drifted.arguments.clone(),
                ..rendered()
            }
        );
    }
}
