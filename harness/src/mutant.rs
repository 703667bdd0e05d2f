//! Named changes that must turn a case to fail.
//!
//! A mutant edits the deploy tree, or the running stack after rendering (a
//! server started with another argument than the tree declares). A case that
//! survives one of its own mutants is not finished.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A named change, owned by one case.
#[derive(Debug, Clone, PartialEq)]
pub struct Mutant {
    /// Name, unique within its case, in kebab case.
    pub id: &'static str,
    /// What is broken, as a sentence for the report.
    pub change: &'static str,
    /// The edits that break it, applied in order.
    pub edits: Vec<Edit>,
}

impl Mutant {
    /// A mutant of one edit.
    #[must_use]
    pub fn new(id: &'static str, change: &'static str, edit: Edit) -> Self {
        Self {
            id,
            change,
            edits: vec![edit],
        }
    }

    /// Adds a further edit.
    #[must_use]
    pub fn and(mut self, edit: Edit) -> Self {
        self.edits.push(edit);
        self
    }
}

/// One edit. An edit that finds nothing to change is an error, not a mutant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Edit {
    /// Sets a field of an object of the deploy tree (JSON pointer; a missing last member is added).
    Set {
        /// `Kind/name` of the object.
        object: String,
        /// JSON pointer to the field.
        pointer: String,
        /// The new value.
        value: Value,
    },
    /// Removes a field or list element of an object, or the whole object with an empty pointer.
    Remove {
        /// `Kind/name` of the object.
        object: String,
        /// JSON pointer to what goes; empty for the object itself.
        pointer: String,
    },
    /// Replaces a text inside a string field of an object (for example a rule's expression or
    /// Alertmanager's file inside its Secret).
    ReplaceText {
        /// `Kind/name` of the object.
        object: String,
        /// JSON pointer to the string.
        pointer: String,
        /// The text to find; it must occur.
        find: String,
        /// What stands there instead, everywhere it occurs.
        replace: String,
    },
    /// Sets a value inside a YAML or JSON document that an object holds as a text (a file in a
    /// `ConfigMap`). The document is written anew, so its comments are lost.
    SetEmbedded {
        /// `Kind/name` of the object.
        object: String,
        /// JSON pointer to the text, for example `/data/lifecycle.json`.
        pointer: String,
        /// JSON pointer inside the document; a missing last member is added.
        inside: String,
        /// The new value; null removes the field.
        value: Value,
    },
    /// Sets a field of one rule of the tree, found by its alert or record name.
    SetRule {
        /// The `alert` or `record` name.
        rule: String,
        /// JSON pointer inside the rule, for example `/expr` or `/for`.
        pointer: String,
        /// The new value; null removes the field.
        value: Value,
    },
    /// Removes one rule of the tree, found by its alert or record name.
    RemoveRule {
        /// The `alert` or `record` name.
        rule: String,
    },
    /// Starts an executable with an argument the tree does not declare: the running stack drifts
    /// from what is declared.
    Argument {
        /// Executable, for example `prometheus`.
        executable: String,
        /// Flag with its dashes; an argument of the same flag is replaced.
        flag: String,
        /// Value, none to drop the flag altogether.
        value: Option<String>,
    },
    /// Replaces a text in a rendered file, after rendering: the same drift, in a file.
    RenderedText {
        /// File name as rendered, for example `prometheus.yml`.
        file: String,
        /// The text to find; it must occur.
        find: String,
        /// What stands there instead, everywhere it occurs.
        replace: String,
    },
}

impl Edit {
    /// Sets a field of an object.
    #[must_use]
    pub fn set(object: &str, pointer: &str, value: impl Into<Value>) -> Self {
        Self::Set {
            object: object.into(),
            pointer: pointer.into(),
            value: value.into(),
        }
    }

    /// Removes a field, or the whole object with an empty pointer.
    #[must_use]
    pub fn remove(object: &str, pointer: &str) -> Self {
        Self::Remove {
            object: object.into(),
            pointer: pointer.into(),
        }
    }

    /// Replaces a text inside a string field.
    #[must_use]
    pub fn replace_text(object: &str, pointer: &str, find: &str, replace: &str) -> Self {
        Self::ReplaceText {
            object: object.into(),
            pointer: pointer.into(),
            find: find.into(),
            replace: replace.into(),
        }
    }

    /// Sets a value inside a document that an object holds as a text; null removes it.
    #[must_use]
    pub fn set_embedded(object: &str, pointer: &str, inside: &str, value: impl Into<Value>) -> Self {
        Self::SetEmbedded {
            object: object.into(),
            pointer: pointer.into(),
            inside: inside.into(),
            value: value.into(),
        }
    }

    /// Sets a field of a rule.
    #[must_use]
    pub fn set_rule(rule: &str, pointer: &str, value: impl Into<Value>) -> Self {
        Self::SetRule {
            rule: rule.into(),
            pointer: pointer.into(),
            value: value.into(),
        }
    }

    /// Removes a rule.
    #[must_use]
    pub fn remove_rule(rule: &str) -> Self {
        Self::RemoveRule { rule: rule.into() }
    }

    /// Starts an executable with another argument than rendered.
    #[must_use]
    pub fn argument(executable: &str, flag: &str, value: Option<&str>) -> Self {
        Self::Argument {
            executable: executable.into(),
            flag: flag.into(),
            value: value.map(Into::into),
        }
    }

    /// Replaces a text in a rendered file.
    #[must_use]
    pub fn rendered_text(file: &str, find: &str, replace: &str) -> Self {
        Self::RenderedText {
            file: file.into(),
            find: find.into(),
            replace: replace.into(),
        }
    }

    /// Whether the edit is made after rendering rather than on the tree.
    #[must_use]
    pub fn is_drift(&self) -> bool {
        matches!(self, Self::Argument { .. } | Self::RenderedText { .. })
    }
}
