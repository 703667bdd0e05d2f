//! The deploy tree: the Kubernetes manifests of the complete stack, read as
//! data, and the typed views of the objects that rendering and cases need.
//!
//! Every object keeps its file and line, so that a message can name them. A
//! tree is immutable; a mutant makes an edited copy.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::Value;

use crate::mutant::Edit;
use crate::units::Span;

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
    /// Reads every `.yaml` file below `root` (folders named `overlays` apart), in path order.
    pub fn load(root: &Path) -> Result<Self, DeployError> {
        let _ = root;
        todo!()
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
        todo!()
    }

    /// A copy with the tree edits among `edits` made, in order; drifts (see
    /// [`Edit::is_drift`]) are left to whoever starts the servers.
    pub fn edited(&self, edits: &[Edit]) -> Result<Self, DeployError> {
        let _ = edits;
        todo!()
    }

    /// A digest of the content, the same for equal trees wherever they lie.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        todo!()
    }
}
