//! Our rendering beside the Prometheus operator's: two programs that read the same tree.
//!
//! Both are brought into the same words, part by part (the global settings, one part a scrape job, one a rule
//! object), and compared field by field. What has to differ is taken out on either side: our static targets become
//! the discovery they stand for, and on the operator's side (prometheus-operator v0.85, `pkg/prometheus/promcfg.go`)
//! goes what one shard keeps anyway, the pod's name is put in as its reloader does it, and rule files are named by
//! their object. Nothing else is forgiven: a field that is set on one side only is a difference.

use indexmap::{IndexMap, IndexSet};
use serde_json::{Value, json};
use url::Url;

use super::discovery::{Discovery, Job, discover};
use super::prometheus::render;
use super::{Addresses, Endpoint, PrometheusRequest, RenderError};
use crate::deploy::DeployTree;
use crate::deploy::kinds::prometheus::AlertmanagerEndpoints;
use crate::deploy::kinds::service_monitor::DiscoveryRole;
use crate::shapes::Shapes;
use crate::stack::{RuleSet, Scrapes};
use crate::units::Span;

/// A configuration in comparable form: parts by name, each with its fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading(IndexMap<String, Value>);

/// One field that the two have differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The field, as a dotted path inside its part.
    pub field: String,
    /// What our rendering has, none where it has nothing.
    pub ours: Option<String>,
    /// What the operator wrote, none where it wrote nothing.
    pub operators: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (ours, operators) = (self.ours.as_deref(), self.operators.as_deref());
        write!(
            f,
            "{}: {} here, {} by the operator",
            self.field,
            ours.unwrap_or("nothing"),
            operators.unwrap_or("nothing")
        )
    }
}

/// Why an operator's configuration cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}: {file} of the operator cannot be read as a configuration of Prometheus")]
pub struct Unreadable {
    file: String,
    why: String,
}

/// Where the operator's configuration of a tree's Prometheus lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Namespace of the Secret and of the `ConfigMaps` of rules.
    pub namespace: String,
    /// Name of the Secret.
    pub secret: String,
    /// Key in it, a text compressed with gzip.
    pub key: String,
    /// Name of the first replica's pod.
    pub pod: String,
}

/// Where the operator puts the configuration of the tree's Prometheus (prometheus-operator v0.85,
/// `ConfigSecretName` and `ConfigFilename`).
pub fn place(tree: &DeployTree, shapes: &Shapes) -> Result<Place, RenderError> {
    let object = discover(tree, shapes)?.prometheus.object;
    Ok(Place {
        namespace: object.namespace().to_owned(),
        secret: format!("prometheus-{}", object.name()),
        key: "prometheus.yaml.gz".to_owned(),
        pod: format!("prometheus-{}-0", object.name()),
    })
}

/// Our rendering of the tree, in the operator's terms.
pub fn ours(tree: &DeployTree, shapes: &Shapes) -> Result<Reading, RenderError> {
    let discovery = discover(tree, shapes)?;
    let nowhere = Endpoint {
        // Nobody is asked there: addresses are taken out again.
        address: ([127, 0, 0, 1], 1).into(),
        played: false,
    };
    let found = discovery.jobs.iter().flat_map(|job| &job.found);
    let addresses = Addresses {
        endpoints: found.map(|found| (found.key(), vec![nowhere.clone()])).collect(),
        receiver: None,
    };
    let unwritable = |file: &str, why: String| RenderError::Unwritable {
        file: file.to_owned(),
        why,
    };
    let alertmanager: Url = "http://127.0.0.1:1/"
        .parse()
        .map_err(|error: url::ParseError| unwritable("prometheus.yml", error.to_string()))?;
    let rendered = render(
        tree,
        shapes,
        &PrometheusRequest {
            addresses: &addresses,
            listen: nowhere.address,
            scrapes: &Scrapes::Declared,
            rules: &RuleSet::Declared,
            alertmanagers: &[alertmanager],
            evaluation_interval: None,
            arguments: &[],
        },
    )?;
    let mut files = IndexMap::new();
    for (name, text) in &rendered.files {
        let value = parsed(name, text).map_err(|error| unwritable(name, error.why))?;
        files.insert(name.as_str(), value);
    }
    let mut config = files.shift_remove("prometheus.yml").unwrap_or_default();
    let rules = files.into_iter().map(|(name, value)| {
        let object = name.trim_start_matches("rules/").trim_end_matches(".yaml");
        (object.to_owned(), value)
    });
    for job in values_mut(&mut config, "/scrape_configs") {
        let name = text(job, "job_name");
        if let Some(declared) = discovery.jobs.iter().find(|declared| declared.name() == name) {
            replace_targets(job, discovers(&discovery, &namespaces(declared)));
        }
    }
    let declared = &discovery.prometheus.spec.alerting.alertmanagers;
    for (alertmanager, declared) in values_mut(&mut config, "/alerting/alertmanagers").zip(declared) {
        let namespace = declared.namespace.as_deref();
        let namespace = namespace.unwrap_or(discovery.prometheus.object.namespace());
        replace_targets(alertmanager, discovers(&discovery, &[namespace.to_owned()]));
        let own = alertmanager
            .get("relabel_configs")
            .and_then(Value::as_array)
            .cloned();
        let mut rules = keeps(&discovery, declared);
        rules.extend(own.unwrap_or_default());
        set(alertmanager, "relabel_configs", Value::Array(rules));
    }
    Ok(reading(config, rules))
}

/// The operator's configuration: the text of its Secret, and the rules of its `ConfigMaps` by their keys there. `pod`
/// is the name that its reloader puts in for the pod's.
pub fn operators(config: &str, rules: &IndexMap<String, String>, pod: &str) -> Result<Reading, Unreadable> {
    let mut config = parsed("the configuration", config)?;
    if let Some(Value::Object(labels)) = config.pointer_mut("/global/external_labels") {
        for value in labels.values_mut() {
            if value == "$(POD_NAME)" {
                *value = pod.into();
            }
        }
    }
    for job in values_mut(&mut config, "/scrape_configs") {
        if let Some(Value::Array(rules)) = job.get_mut("relabel_configs") {
            without_one_shard(rules);
        }
    }
    let rules = rules
        .iter()
        .map(|(key, text)| Ok((object_of_rules(key).to_owned(), parsed(key, text)?)))
        .collect::<Result<Vec<_>, Unreadable>>()?;
    Ok(reading(config, rules))
}

/// Names of the `ConfigMaps` that the operator's configuration takes rules from: it mounts each under its name.
pub fn rule_config_maps(config: &str) -> Result<Vec<String>, Unreadable> {
    let config = parsed("the configuration", config)?;
    let files = config.get("rule_files").and_then(Value::as_array);
    Ok(files
        .into_iter()
        .flatten()
        .filter_map(|path| path.as_str()?.rsplit('/').nth(1).map(str::to_owned))
        .collect())
}

/// What the two have differently, part by part in our order, every part of either among them: no difference where a
/// part is the same.
#[must_use]
pub fn differences(ours: &Reading, operators: &Reading) -> IndexMap<String, Vec<Difference>> {
    let names: IndexSet<&String> = ours.0.keys().chain(operators.0.keys()).collect();
    names
        .into_iter()
        .map(|name| {
            let mut found = Vec::new();
            compare("", ours.0.get(name), operators.0.get(name), &mut found);
            (name.clone(), found)
        })
        .collect()
}

fn compare(field: &str, ours: Option<&Value>, operators: Option<&Value>, found: &mut Vec<Difference>) {
    match (ours, operators) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let names: IndexSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let below = if field.is_empty() {
                    name.clone()
                } else {
                    format!("{field}.{name}")
                };
                compare(&below, a.get(name), b.get(name), found);
            }
        }
        // An item too many moves all that follow: the first that differs says it all.
        (Some(Value::Array(a)), Some(Value::Array(b))) if a != b => {
            let at = a.iter().zip(b).take_while(|(a, b)| a == b).count();
            let below = format!("{field}[{at}]");
            match (a.get(at), b.get(at)) {
                (Some(a @ Value::Object(_)), Some(b @ Value::Object(_))) => {
                    compare(&below, Some(a), Some(b), found);
                }
                (a, b) => found.push(difference(&below, a, b)),
            }
        }
        (a, b) if a != b => found.push(difference(field, a, b)),
        _ => {}
    }
}

fn difference(field: &str, ours: Option<&Value>, operators: Option<&Value>) -> Difference {
    let shown = |value: Option<&Value>| {
        value.map(|value| match value {
            Value::String(text) => text.clone(),
            Value::Object(fields) if field.is_empty() => format!("{} fields", fields.len()),
            other => other.to_string(),
        })
    };
    Difference {
        field: if field.is_empty() { "all of it" } else { field }.to_owned(),
        ours: shown(ours),
        operators: shown(operators),
    }
}

/// A configuration and its rules as parts, in words that both sides have.
fn reading(mut config: Value, rules: impl IntoIterator<Item = (String, Value)>) -> Reading {
    let mut parts = IndexMap::new();
    if let Some(config) = config.as_object_mut() {
        // Which files there are is told by what is in them.
        config.shift_remove("rule_files");
        let jobs = config.shift_remove("scrape_configs");
        for (name, value) in std::mem::take(config) {
            parts.insert(name, value);
        }
        if let Some(Value::Array(jobs)) = jobs {
            for job in jobs {
                parts.insert(format!("job {}", text(&job, "job_name")), job);
            }
        }
    }
    for (object, value) in rules {
        parts.insert(format!("rules {object}"), value);
    }
    for part in parts.values_mut() {
        alike(part);
    }
    Reading(parts)
}

/// Fields that hold durations, which are written in more than one way.
const DURATIONS: [&str; 9] = [
    "evaluation_interval",
    "for",
    "interval",
    "keep_firing_for",
    "out_of_order_time_window",
    "query_offset",
    "scrape_interval",
    "scrape_timeout",
    "timeout",
];

/// What a relabeling does without being told (Prometheus 3.16, docs/configuration/configuration.md); the API
/// server puts the action in where the object names none.
const RELABELING: [(&str, &str); 4] = [
    ("action", "replace"),
    ("regex", "(.*)"),
    ("replacement", "$1"),
    ("separator", ";"),
];

/// Says the same in the same words: durations, relabelings with what goes without saying, no empty fields.
fn alike(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                alike(value);
                if let Value::String(text) = value
                    && DURATIONS.contains(&name.as_str())
                    && let Ok(span) = text.parse::<Span>()
                {
                    *text = span.to_string();
                }
                if name.ends_with("relabel_configs") {
                    value.as_array_mut().into_iter().flatten().for_each(relabeling);
                }
            }
            fields.retain(|_, value| !is_empty(value));
            // Prometheus asks Alertmanager below `/` where no prefix is given.
            if fields.get("path_prefix").is_some_and(|prefix| prefix == "/") {
                fields.shift_remove("path_prefix");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(alike),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn relabeling(rule: &mut Value) {
    let Some(fields) = rule.as_object_mut() else {
        return;
    };
    for (name, said) in RELABELING {
        let value = fields.entry(name).or_insert_with(|| said.into());
        // The operator writes a port's number as a number.
        if value.is_number() {
            *value = value.to_string().into();
        }
        if value == "${1}" {
            *value = "$1".into();
        }
    }
}

/// Takes out the operator's last three rules where they keep everything: it shards whatever it does, and one shard
/// of one has all targets (`appendShardingRelabelingWithLabel`).
fn without_one_shard(rules: &mut Vec<Value>) {
    let Some(begin) = rules.len().checked_sub(3) else {
        return;
    };
    let hash = &rules[begin + 1];
    if hash.get("action").is_some_and(|action| action == "hashmod")
        && hash.get("modulus").is_some_and(|modulus| *modulus == json!(1))
        && hash
            .get("target_label")
            .is_some_and(|label| label == "__tmp_hash")
    {
        rules.truncate(begin);
    }
}

/// `<namespace>-<name>` out of the operator's `<namespace>-<name>-<uid>.yaml`.
fn object_of_rules(key: &str) -> &str {
    const UID: usize = "-00000000-0000-0000-0000-000000000000".len();
    let stem = key.trim_end_matches(".yaml");
    stem.len()
        .checked_sub(UID)
        .and_then(|end| stem.get(..end))
        .unwrap_or(stem)
}

/// What the operator has in place of our static targets.
fn discovers(discovery: &Discovery<'_>, namespaces: &[String]) -> Value {
    let mut config = json!({"role": role(discovery)});
    if !namespaces.is_empty() {
        set(&mut config, "namespaces", json!({"names": namespaces}));
    }
    json!([config])
}

fn role(discovery: &Discovery<'_>) -> &'static str {
    match discovery.prometheus.spec.service_discovery_role {
        Some(DiscoveryRole::EndpointSlice) => "endpointslice",
        Some(DiscoveryRole::Endpoints) | None => "endpoints",
    }
}

/// Namespaces that a monitor looks in, none for all of them.
fn namespaces(job: &Job<'_>) -> Vec<String> {
    let selector = &job.monitor.spec.namespace_selector;
    if selector.any {
        Vec::new()
    } else if selector.match_names.is_empty() {
        vec![job.monitor.object.namespace().to_owned()]
    } else {
        selector.match_names.clone()
    }
}

/// What the operator keeps of all it discovers in the namespace of an Alertmanager.
fn keeps(discovery: &Discovery<'_>, declared: &AlertmanagerEndpoints) -> Vec<Value> {
    let port = &declared.port.0;
    let label = if port.parse::<u16>().is_ok() {
        "__meta_kubernetes_pod_container_port_number".to_owned()
    } else {
        // The role's name without its plural.
        format!(
            "__meta_kubernetes_{}_port_name",
            role(discovery).trim_end_matches('s')
        )
    };
    [
        ("__meta_kubernetes_service_name".to_owned(), &declared.name),
        (label, port),
    ]
    .map(|(label, regex)| json!({"action": "keep", "source_labels": [label], "regex": regex}))
    .to_vec()
}

fn replace_targets(config: &mut Value, discovers: Value) {
    if let Some(fields) = config.as_object_mut() {
        fields.shift_remove("static_configs");
    }
    set(config, "kubernetes_sd_configs", discovers);
}

fn set(value: &mut Value, field: &str, to: Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.insert(field.to_owned(), to);
    }
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn values_mut<'v>(value: &'v mut Value, pointer: &str) -> impl Iterator<Item = &'v mut Value> {
    value
        .pointer_mut(pointer)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

fn parsed(file: &str, text: &str) -> Result<Value, Unreadable> {
    let unreadable = |why: String| Unreadable {
        file: file.to_owned(),
        why,
    };
    let value: Value =
        serde_saphyr::from_str(text).map_err(|error| unreadable(error.without_snippet().to_string()))?;
    if !value.is_object() {
        return Err(unreadable("it is no mapping".to_owned()));
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
