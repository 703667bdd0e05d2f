//! What was promised: fixtures/contract.yaml, typed.
//!
//! Every sentence of the stack's description that holds a number or a
//! checkable fact is one promise. Cases ask for a promise's values by id and
//! name; nothing else in the project knows a production number.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Bytes, Ratio, Span};
use crate::verdict::Level;

/// All promises.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// The promises, in the order of the description.
    pub promises: Vec<Promise>,
}

/// One sentence of the contract with its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Promise {
    /// Stable id in kebab case, area first: `metrics-retention-time`.
    pub id: String,
    /// How binding it is.
    pub level: Level,
    /// The promise, as one sentence.
    pub says: String,
    /// Where the description says it, for example `Configuration / Prometheus`.
    pub place: String,
    /// Why this value, where the description leaves it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its values by name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub values: IndexMap<String, Value>,
}

/// A value with its unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// A duration.
    Duration(Span),
    /// A size.
    Bytes(Bytes),
    /// A share of a whole.
    Ratio(Ratio),
    /// A number of things.
    Count(u64),
    /// A TCP port.
    Port(u16),
    /// A name or address.
    Text(String),
    /// Several names.
    Texts(Vec<String>),
}

/// Why the contract cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// The file cannot be read.
    #[error("{path}: {source}; give the contract's path with --contract", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not parse.
    #[error("{path}:{line}:{column}: {why}", path = .path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// What is wrong and what to write instead.
        why: String,
    },
    /// A case asks for a promise that is not there.
    #[error("the contract has no promise `{id}`; add it or correct the case that names it")]
    NoPromise {
        /// The id asked for.
        id: String,
    },
    /// A case asks for a value that the promise does not have in that unit.
    #[error("promise `{id}` has no {unit} named `{value}`")]
    NoValue {
        /// The promise.
        id: String,
        /// The value's name.
        value: String,
        /// The unit asked for.
        unit: &'static str,
    },
}

impl Contract {
    /// Reads and checks the contract.
    pub fn load(path: &Path) -> Result<Self, ContractError> {
        let text = std::fs::read_to_string(path).map_err(|source| ContractError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Parses and checks the text of a contract; `path` is for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ContractError> {
        let _ = (path, text);
        todo!()
    }

    /// The promise with this id.
    pub fn promise(&self, id: &str) -> Result<&Promise, ContractError> {
        self.promises
            .iter()
            .find(|p| p.id == id)
            .ok_or_else(|| ContractError::NoPromise { id: id.to_owned() })
    }

    /// A duration of a promise.
    pub fn duration(&self, id: &str, value: &str) -> Result<Duration, ContractError> {
        self.value(id, value, "duration", |v| {
            if let Value::Duration(span) = v {
                Some(span.0)
            } else {
                None
            }
        })
    }

    /// A size of a promise.
    pub fn bytes(&self, id: &str, value: &str) -> Result<Bytes, ContractError> {
        self.value(id, value, "size", |v| {
            if let Value::Bytes(bytes) = v {
                Some(*bytes)
            } else {
                None
            }
        })
    }

    /// A share of a promise.
    pub fn ratio(&self, id: &str, value: &str) -> Result<Ratio, ContractError> {
        self.value(id, value, "ratio", |v| {
            if let Value::Ratio(ratio) = v {
                Some(*ratio)
            } else {
                None
            }
        })
    }

    /// A count of a promise.
    pub fn count(&self, id: &str, value: &str) -> Result<u64, ContractError> {
        self.value(id, value, "count", |v| {
            if let Value::Count(count) = v {
                Some(*count)
            } else {
                None
            }
        })
    }

    /// A text of a promise.
    pub fn text(&self, id: &str, value: &str) -> Result<String, ContractError> {
        self.value(id, value, "text", |v| {
            if let Value::Text(text) = v {
                Some(text.clone())
            } else {
                None
            }
        })
    }

    /// The texts of a promise.
    pub fn texts(&self, id: &str, value: &str) -> Result<Vec<String>, ContractError> {
        self.value(id, value, "list of texts", |v| {
            if let Value::Texts(texts) = v {
                Some(texts.clone())
            } else {
                None
            }
        })
    }

    fn value<T>(
        &self,
        id: &str,
        value: &str,
        unit: &'static str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, ContractError> {
        let missing = || ContractError::NoValue {
            id: id.to_owned(),
            value: value.to_owned(),
            unit,
        };
        self.promise(id)?
            .values
            .get(value)
            .and_then(read)
            .ok_or_else(missing)
    }
}
