//! What service accounts may do and what nobody may: fixtures/access.yaml as questions for the API server.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::component::cluster::{Access, ServiceAccount};
use crate::files::{self, Misread};

/// The table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AccessTable {
    /// The accounts, a row each.
    pub accounts: Vec<Row>,
    /// What those may not that want nothing.
    pub without_rights: Vec<Rights>,
    /// What none of them may.
    pub nobody: Vec<Rights>,
}

/// What one account may and may not.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// `namespace/name`.
    pub account: String,
    /// What its component needs.
    #[serde(default)]
    pub wanted: Vec<Rights>,
    /// What it has no use for.
    #[serde(default)]
    pub unwanted: Vec<Rights>,
}

/// Verbs on resources or paths: each of the ones on each of the others.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rights {
    /// Verbs.
    pub may: Vec<String>,
    /// Resources, `plural.group/subresource`.
    #[serde(default)]
    pub of: Vec<String>,
    /// Paths that are no objects.
    #[serde(default)]
    pub path: Vec<String>,
    /// Namespaces; none for all of the cluster and for what lies in none.
    #[serde(default, rename = "in")]
    pub within: Vec<String>,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Who.
    pub account: ServiceAccount,
    /// What.
    pub access: Access,
    /// Whether it has to be allowed; else it has to be refused.
    pub wanted: bool,
}

/// Why the table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file cannot be read.
    #[error("{}", files::words(.source, "reading", .path))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not parse, or a row says nothing that can be asked.
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
    /// A row cannot be asked.
    #[error("{path}: {row}: {why}", path = .path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The account, or the list.
        row: String,
        /// What is wrong and what to write instead.
        why: &'static str,
    },
}

impl AccessTable {
    /// Reads and checks a table.
    pub fn load(path: &Path) -> Result<Self, AccessError> {
        let text = std::fs::read_to_string(path).map_err(|source| AccessError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Parses and checks the text of a table; `path` is for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self, AccessError> {
        let table: Self = files::yaml(text).map_err(|Misread { line, column, why }| AccessError::Parse {
            path: path.to_owned(),
            line,
            column,
            why,
        })?;
        let wrong = |row: &str, why| AccessError::Row {
            path: path.to_owned(),
            row: row.to_owned(),
            why,
        };
        let mut seen = BTreeSet::new();
        for row in &table.accounts {
            if row.account().is_none() {
                return Err(wrong(&row.account, "it is no account; write `namespace/name`"));
            }
            if !seen.insert(&row.account) {
                return Err(wrong(&row.account, "it has two rows; join them"));
            }
        }
        let lists = table
            .accounts
            .iter()
            .flat_map(|row| [(&row.account, &row.wanted), (&row.account, &row.unwanted)])
            .map(|(account, rights)| (account.as_str(), rights))
            .chain([
                ("without-rights", &table.without_rights),
                ("nobody", &table.nobody),
            ]);
        for (row, list) in lists {
            for rights in list {
                if rights.may.is_empty() || rights.of.is_empty() == rights.path.is_empty() {
                    let why = "it asks nothing; write verbs under `may`, and resources under `of` or paths under `path`";
                    return Err(wrong(row, why));
                }
                if !rights.path.is_empty() && !rights.within.is_empty() {
                    return Err(wrong(row, "a path lies in no namespace; leave `in` out"));
                }
            }
        }
        if table.nobody.is_empty() || table.without_rights.is_empty() {
            let why = "it is empty, so nothing would be refused to anybody; write what it is for";
            return Err(wrong("nobody, without-rights", why));
        }
        Ok(table)
    }

    /// The questions about the account of a row, each once, what is wanted before what is not.
    #[must_use]
    pub fn questions(&self, row: &Row) -> Vec<Question> {
        let Some(account) = row.account() else {
            return Vec::new();
        };
        let without: &[Rights] = if row.wanted.is_empty() {
            &self.without_rights
        } else {
            &[]
        };
        let wanted = row.wanted.iter().map(|rights| (true, rights));
        let unwanted = row.unwanted.iter().chain(without).chain(&self.nobody);
        let mut asked = BTreeSet::new();
        wanted
            .chain(unwanted.map(|rights| (false, rights)))
            .flat_map(|(wanted, rights)| rights.each().into_iter().map(move |access| (wanted, access)))
            .filter(|(_, access)| asked.insert(access.clone()))
            .map(|(wanted, access)| Question {
                account: account.clone(),
                access,
                wanted,
            })
            .collect()
    }
}

impl Row {
    /// The account, none where it is not written as one.
    #[must_use]
    pub fn account(&self) -> Option<ServiceAccount> {
        let (namespace, name) = self.account.split_once('/')?;
        let named = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
        named.then(|| ServiceAccount {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl Rights {
    /// Every verb on everything named.
    fn each(&self) -> Vec<Access> {
        let cluster = [String::new()];
        let within = if self.within.is_empty() {
            &cluster[..]
        } else {
            &self.within
        };
        let mut each = Vec::new();
        for verb in &self.may {
            for path in &self.path {
                each.push(Access::Path {
                    verb: verb.clone(),
                    path: path.clone(),
                });
            }
            for resource in &self.of {
                for namespace in within {
                    each.push(access(verb, resource, namespace));
                }
            }
        }
        each
    }
}

/// A verb on a resource written as `plural.group/subresource`.
fn access(verb: &str, resource: &str, namespace: &str) -> Access {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
    Access::Resource {
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: if subresource.is_empty() {
            plural.to_owned()
        } else {
            format!("{plural}/{subresource}")
        },
        namespace: namespace.to_owned(),
        name: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const TABLE: &str = "
accounts:
  - account: a/reader
    wanted:
      - {may: [get, list], of: [pods, endpointslices.discovery.k8s.io], in: [a]}
    unwanted:
      - {may: [get], of: [nodes/metrics]}
  - account: a/nothing
without-rights:
  - {may: [get], of: [pods], in: [a]}
nobody:
  - {may: ['*'], of: ['*.*']}
  - {may: [get], path: [/metrics]}
";

    fn told(row: usize) -> Vec<String> {
        let table = AccessTable::parse(Path::new("access.yaml"), TABLE).unwrap();
        table
            .questions(&table.accounts[row])
            .iter()
            .map(|question| format!("{}{}", if question.wanted { "" } else { "not " }, question.access))
            .collect()
    }

    #[test]
    fn every_verb_is_asked_on_every_resource_and_what_nobody_may_of_everybody() {
        assert_eq!(
            told(0),
            [
                "get pods in a",
                "get endpointslices.discovery.k8s.io in a",
                "list pods in a",
                "list endpointslices.discovery.k8s.io in a",
                "not get nodes/metrics of the cluster",
                "not * *.* of the cluster",
                "not get /metrics",
            ]
        );
        assert_eq!(
            told(1),
            [
                "not get pods in a",
                "not * *.* of the cluster",
                "not get /metrics"
            ]
        );
    }

    #[rstest]
    #[case::no_account("a/nothing", "nothing", "write `namespace/name`")]
    #[case::twice("a/nothing", "a/reader", "it has two rows")]
    #[case::nothing_asked("of: [nodes/metrics]", "of: []", "it asks nothing")]
    #[case::a_path_in_a_namespace("path: [/metrics]", "path: [/metrics], in: [a]", "leave `in` out")]
    #[case::an_unknown_field("path: [/metrics]", "paths: [/metrics]", "access.yaml:13")]
    fn what_cannot_be_asked_is_refused(#[case] find: &str, #[case] replace: &str, #[case] expected: &str) {
        assert!(TABLE.contains(find));
        let error = AccessTable::parse(Path::new("access.yaml"), &TABLE.replace(find, replace)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn the_shipped_table_reads_and_has_a_row_for_every_account_of_the_tree() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let table = AccessTable::load(&root.join("fixtures/access.yaml")).unwrap();
        let tree = crate::deploy::DeployTree::load(&root.join("deploy")).unwrap();
        for object in tree.of_kind("ServiceAccount") {
            let name = format!("{}/{}", object.namespace(), object.name());
            assert!(
                table.accounts.iter().any(|row| row.account == name),
                "no row for {name}"
            );
        }
    }
}
