//! The deploy tree: the Kubernetes manifests of the complete stack, read as
//! data, and the typed views of the objects that rendering and cases need.
//!
//! Every object keeps its file and line, so that a message can name them. A
//! tree is immutable; a mutant makes an edited copy.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::mutant::Edit;
use crate::units::Span;

mod documents;
mod edit;
pub(crate) mod kinds;
pub(crate) mod nearest;
mod rules;
pub mod selector;
pub(crate) mod typed;

use selector::LabelSelector;

/// One object of the tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// File it stands in, relative to the tree's root.
    pub file: PathBuf,
    /// Line its document starts on, from 1.
    pub line: usize,
    /// The object.
    pub value: Value,
}

impl Object {
    /// `kind`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// `metadata.name`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// `metadata.namespace`, `default` when absent.
    #[must_use]
    pub fn namespace(&self) -> &str {
        match self.text("/metadata/namespace") {
            "" => "default",
            namespace => namespace,
        }
    }

    /// `Kind/name`, how edits and changed values refer to it.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.kind(), self.name())
    }

    /// The string at a JSON pointer, empty when there is none.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// `metadata.labels`; values that are no texts are left out.
    #[must_use]
    pub fn labels(&self) -> IndexMap<String, String> {
        self.value
            .pointer("/metadata/labels")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    }

    /// What is wrong with a field of this object.
    pub(crate) fn wrong(&self, field: impl Into<String>, why: impl Into<String>) -> DeployError {
        DeployError::Field {
            path: self.file.clone(),
            line: self.line,
            object: self.id(),
            field: field.into(),
            why: why.into(),
        }
    }
}

/// The whole tree.
#[derive(Debug, Clone, PartialEq)]
pub struct DeployTree {
    root: PathBuf,
    objects: Vec<Object>,
}

/// One group of rules of a `PrometheusRule`.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleGroup {
    /// `PrometheusRule/name` it stands in.
    pub object: String,
    /// Namespace of that object.
    pub namespace: String,
    /// Group name.
    pub name: String,
    /// Evaluation interval of its own, if it has one.
    pub interval: Option<Span>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Alert or recording.
    pub kind: RuleKind,
    /// `alert` or `record` name.
    pub name: String,
    /// The expression.
    pub expr: String,
    /// `for` of an alert, zero when absent.
    pub hold: Span,
    /// `keep_firing_for` of an alert, zero when absent.
    pub keep_firing: Span,
    /// Labels added.
    pub labels: IndexMap<String, String>,
    /// Annotations of an alert.
    pub annotations: IndexMap<String, String>,
}

/// Alert or recording rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleKind {
    /// An alert.
    Alert,
    /// A recording rule.
    Recording,
}

/// Why a tree, an object or an edit cannot be used. Messages name file, line,
/// field and remedy.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// A file or folder cannot be read.
    #[error("{path}: {source}; give the deploy tree's folder with --deploy", path = .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A manifest does not parse.
    #[error("{path}:{line}:{column}: {why}", path = .path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line in the file, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// What is wrong.
        why: String,
    },
    /// An object's field is missing, unknown or has a value that cannot be used.
    #[error("{path}:{line}: {object}: {field}: {why}", path = .path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// Line the object starts on.
        line: usize,
        /// `Kind/name`.
        object: String,
        /// The field, as a dotted path.
        field: String,
        /// What is wrong and what to write instead.
        why: String,
    },
    /// An object that is needed is not there.
    #[error("the deploy tree {root} has no object `{object}`; it is needed {purpose}", root = .root.display())]
    NoObject {
        /// The tree's folder.
        root: PathBuf,
        /// `Kind/name` or `Kind`.
        object: String,
        /// What for.
        purpose: String,
    },
    /// An edit finds nothing to change.
    #[error("the edit of {object} finds nothing at `{place}`; a mutant must change something")]
    EditMissed {
        /// The object or rule.
        object: String,
        /// Pointer or text looked for.
        place: String,
    },
}

impl DeployTree {
    /// Reads every `.yaml` file below `root` in path order, apart from folders named `overlays` and
    /// files named `kustomization.yaml`, which only say how files belong together.
    pub fn load(root: &Path) -> Result<Self, DeployError> {
        let mut files = Vec::new();
        manifests(root, &mut files)?;
        let texts = files
            .into_iter()
            .map(|file| {
                let text = std::fs::read_to_string(&file).map_err(|source| DeployError::Read {
                    path: file.clone(),
                    source,
                })?;
                let relative = file.strip_prefix(root).map(Path::to_owned).unwrap_or(file);
                Ok((relative, text))
            })
            .collect::<Result<Vec<_>, DeployError>>()?;
        Self::parse(root, &texts)
    }

    /// The tree of these files (path relative to the root, text); `root` is for messages.
    pub fn parse(root: &Path, files: &[(PathBuf, String)]) -> Result<Self, DeployError> {
        let mut objects: Vec<Object> = Vec::new();
        let mut places: HashMap<(String, String), usize> = HashMap::new();
        for (file, text) in files {
            for object in documents::objects(file, text)? {
                let key = (object.id(), object.namespace().to_owned());
                if let Some(first) = places.insert(key, objects.len()) {
                    let first = &objects[first];
                    return Err(object.wrong(
                        "metadata.name",
                        format!(
                            "namespace {namespace} has this object twice, the first at {path}:{line}; remove or rename one",
                            namespace = object.namespace(),
                            path = first.file.display(),
                            line = first.line,
                        ),
                    ));
                }
                objects.push(object);
            }
        }
        Ok(Self {
            root: root.to_owned(),
            objects,
        })
    }

    /// The tree's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All objects, in file order.
    #[must_use]
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The object with this `Kind/name`.
    pub fn object(&self, id: &str) -> Result<&Object, DeployError> {
        self.objects
            .iter()
            .find(|o| o.id() == id)
            .ok_or_else(|| DeployError::NoObject {
                root: self.root.clone(),
                object: id.to_owned(),
                purpose: "by name".to_owned(),
            })
    }

    /// The objects of a kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Object> {
        self.objects.iter().filter(move |o| o.kind() == kind)
    }

    /// All rule groups that the Prometheus object's selectors take, in file order.
    pub fn rule_groups(&self) -> Result<Vec<RuleGroup>, DeployError> {
        rules::groups(self)
    }

    /// A copy with the tree edits among `edits` made, in order; drifts (see
    /// [`Edit::is_drift`]) are left to whoever starts the servers. An edit of a rule is made on
    /// every rule of that name.
    pub fn edited(&self, edits: &[Edit]) -> Result<Self, DeployError> {
        let mut edited = self.clone();
        for edit in edits {
            edit::apply(&mut edited.objects, edit)?;
        }
        Ok(edited)
    }

    /// A digest of the content (SHA-256, hexadecimal), the same for equal trees wherever they lie:
    /// paths, the order of objects and the order of their members do not count.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut texts: Vec<String> = self.objects.iter().map(|o| canonical(&o.value)).collect();
        texts.sort_unstable();
        let mut digest = Sha256::new();
        for text in texts {
            digest.update(text.as_bytes());
            digest.update(b"\n");
        }
        hex::encode(digest.finalize())
    }

    /// Labels of a namespace: its object's, if the tree has it, and the one that Kubernetes adds.
    #[must_use]
    pub fn namespace_labels(&self, namespace: &str) -> IndexMap<String, String> {
        let mut labels = self
            .of_kind("Namespace")
            .find(|o| o.name() == namespace)
            .map(Object::labels)
            .unwrap_or_default();
        labels.insert("kubernetes.io/metadata.name".to_owned(), namespace.to_owned());
        labels
    }

    /// Whether `owner`'s selectors take `candidate`, with the operator's meaning of what is absent:
    /// no selector takes nothing, no namespace selector takes `owner`'s namespace alone
    /// (prometheus-operator v0.85, API reference).
    pub(crate) fn selects(
        &self,
        owner: &Object,
        selector: Option<&LabelSelector>,
        namespaces: Option<&LabelSelector>,
        candidate: &Object,
    ) -> bool {
        let in_namespace = match namespaces {
            None => candidate.namespace() == owner.namespace(),
            Some(namespaces) => namespaces.matches(&self.namespace_labels(candidate.namespace())),
        };
        in_namespace && selector.is_some_and(|s| s.matches(&candidate.labels()))
    }
}

/// The manifests below a folder, in path order.
fn manifests(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), DeployError> {
    let unreadable = |source| DeployError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut entries = std::fs::read_dir(folder)
        .map_err(unreadable)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    entries.sort();
    for path in entries {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            if name != "overlays" {
                manifests(&path, files)?;
            }
        } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml")
            && path.file_stem().is_some_and(|stem| stem != "kustomization")
        {
            files.push(path);
        }
    }
    Ok(())
}

/// JSON with the members of every object sorted.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map
                .iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)))
                .collect();
            members.sort_unstable();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A tree of one file.
    pub(crate) fn tree(text: &str) -> DeployTree {
        DeployTree::parse(
            Path::new("deploy"),
            &[(PathBuf::from("all.yaml"), text.to_owned())],
        )
        .unwrap()
    }

    const RULES: &str = r"
apiVersion: v1
kind: Namespace
metadata: {name: apps, labels: {part-of: stack}}
---
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: prometheus, namespace: monitoring}
spec:
  ruleSelector: {matchLabels: {role: rules}}
  ruleNamespaceSelector:
    matchExpressions:
      - {key: kubernetes.io/metadata.name, operator: In, values: [monitoring, apps]}
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: taken, namespace: apps, labels: {role: rules}}
spec:
  groups:
    - name: g
      interval: 1m
      rules:
        - {alert: Down, expr: up == 0, for: 5m, keep_firing_for: 1m, labels: {severity: critical}}
        - {record: one, expr: 1}
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: elsewhere, namespace: other, labels: {role: rules}}
spec: {groups: [{name: g, rules: []}]}
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: unlabelled, namespace: monitoring}
spec: {groups: [{name: g, rules: []}]}
";

    #[test]
    fn only_selected_rules_are_taken() {
        let groups = tree(RULES).rule_groups().unwrap();
        assert_eq!(groups.len(), 1);
        assert_eq!(
            (groups[0].object.as_str(), groups[0].namespace.as_str()),
            ("PrometheusRule/taken", "apps")
        );
        assert_eq!(groups[0].rules[0].hold, "5m".parse().unwrap());
        assert_eq!(groups[0].rules[0].keep_firing, "1m".parse().unwrap());
        assert_eq!(groups[0].rules[1].kind, RuleKind::Recording);
        assert_eq!(groups[0].rules[1].expr, "1");
    }

    #[test]
    fn without_a_rule_selector_no_rules_are_taken() {
        let edited = tree(RULES).edited(&[Edit::remove("Prometheus/prometheus", "/spec/ruleSelector")]);
        assert_eq!(edited.unwrap().rule_groups().unwrap(), []);
    }

    #[test]
    fn without_a_namespace_selector_rules_of_its_own_namespace_are_taken() {
        let edited = tree(RULES)
            .edited(&[
                Edit::remove("Prometheus/prometheus", "/spec/ruleNamespaceSelector"),
                Edit::set(
                    "Prometheus/prometheus",
                    "/spec/ruleSelector",
                    serde_json::json!({}),
                ),
            ])
            .unwrap();
        let objects: Vec<_> = edited
            .rule_groups()
            .unwrap()
            .into_iter()
            .map(|g| g.object)
            .collect();
        assert_eq!(objects, ["PrometheusRule/unlabelled"]);
    }

    #[test]
    fn a_misspelt_field_is_refused_with_its_place_and_the_nearest_name() {
        let text = RULES.replace("keep_firing_for", "keep_firing");
        let error = tree(&text).rule_groups().unwrap_err().to_string();
        assert!(
            error.starts_with(
                "all.yaml:15: PrometheusRule/taken: spec.groups[0].rules[0].keep_firing: unknown field"
            ),
            "{error}"
        );
        assert!(error.contains("`keep_firing_for`"), "{error}");
    }

    #[test]
    fn a_recording_rule_with_for_is_refused() {
        let text = RULES.replace("{record: one, expr: 1}", "{record: one, expr: 1, for: 5m}");
        let error = tree(&text).rule_groups().unwrap_err().to_string();
        assert!(
            error.contains("spec.groups[0].rules[1].for: only alerts have it"),
            "{error}"
        );
    }

    #[test]
    fn two_objects_of_one_name_are_refused_with_both_places() {
        let one = "apiVersion: v1\nkind: A\nmetadata: {name: x}\n";
        let files = [
            (PathBuf::from("a.yaml"), one.to_owned()),
            (PathBuf::from("b.yaml"), format!("# two\n---\n{one}")),
        ];
        let error = DeployTree::parse(Path::new("deploy"), &files)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("b.yaml:3: A/x: metadata.name: "), "{error}");
        assert!(error.contains("a.yaml:1"), "{error}");
    }

    #[test]
    fn one_name_in_two_namespaces_is_two_objects() {
        let tree = tree(
            "apiVersion: v1\nkind: A\nmetadata: {name: x, namespace: one}\n---\n\
             apiVersion: v1\nkind: A\nmetadata: {name: x, namespace: two}\n",
        );
        assert_eq!(tree.objects().len(), 2);
    }

    #[test]
    fn overlays_and_kustomizations_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let object = |name: &str| format!("apiVersion: v1\nkind: A\nmetadata: {{name: {name}}}\n");
        std::fs::create_dir_all(folder.path().join("b/overlays/dev")).unwrap();
        std::fs::write(folder.path().join("b/two.yaml"), object("two")).unwrap();
        std::fs::write(folder.path().join("a.yaml"), object("one")).unwrap();
        std::fs::write(folder.path().join("b/overlays/dev/three.yaml"), object("three")).unwrap();
        std::fs::write(
            folder.path().join("b/kustomization.yaml"),
            "resources: [two.yaml]\n",
        )
        .unwrap();
        std::fs::write(folder.path().join("b/notes.txt"), "no manifest").unwrap();
        let tree = DeployTree::load(folder.path()).unwrap();
        let places: Vec<_> = tree
            .objects()
            .iter()
            .map(|o| (o.id(), o.file.display().to_string()))
            .collect();
        assert_eq!(
            places,
            [
                ("A/one".to_owned(), "a.yaml".to_owned()),
                ("A/two".to_owned(), "b/two.yaml".to_owned())
            ]
        );
    }

    #[test]
    fn a_missing_folder_is_named_with_the_remedy() {
        let error = DeployTree::load(Path::new("no/such/folder"))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("no/such/folder: ") && error.contains("--deploy"),
            "{error}"
        );
    }

    #[test]
    fn a_fingerprint_changes_with_the_content() {
        let edited = tree(RULES)
            .edited(&[Edit::set_rule("Down", "/for", "6m")])
            .unwrap();
        assert_ne!(edited.fingerprint(), tree(RULES).fingerprint());
    }

    proptest! {
        /// forall orders of objects, members and files: fingerprint = fingerprint of the first order
        #[test]
        fn a_fingerprint_depends_on_the_content_alone(order in Just(vec![0, 1, 2, 3]).prop_shuffle(), file in "[a-z]{1,5}") {
            let documents = ["a", "b", "c", "d"].map(|name| format!("apiVersion: v1\nkind: A\nmetadata: {{name: {name}}}\n"));
            let swapped = ["a", "b", "c", "d"].map(|name| format!("metadata: {{name: {name}}}\nkind: A\napiVersion: v1\n"));
            let first = tree(&documents.join("---\n"));
            let other: Vec<_> = order
                .iter()
                .map(|i| (PathBuf::from(format!("{file}{i}.yaml")), swapped[*i].clone()))
                .collect();
            let second = DeployTree::parse(Path::new("elsewhere"), &other).unwrap();
            prop_assert_eq!(first.fingerprint(), second.fingerprint());
        }
    }
}
