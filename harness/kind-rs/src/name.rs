//! The name of a cluster.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of a cluster, as kind takes it: lower-case letters, digits, dots and hyphens.
///
/// ```
/// let name: kind_rs::ClusterName = "demo-1".parse()?;
/// assert_eq!(name.as_str(), "demo-1");
/// assert!("Demo".parse::<kind_rs::ClusterName>().is_err());
/// # Ok::<(), kind_rs::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterName(String);

/// Why a text is no name of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// A character that kind v0.33.0 refuses; it wants `^[a-z0-9.-]+$`.
    #[error("`{0}` is no name of a cluster: lower-case letters, digits, dots and hyphens are wanted")]
    Characters(String),
    /// A beginning that the engine refuses: nodes are named after the cluster, and a container's name
    /// begins with a letter or a digit.
    #[error("`{0}` is no name of a cluster: it does not begin with a letter or a digit")]
    Beginning(String),
    /// Too long: nodes are named after it with `-control-plane`, and the kernel takes host names of 64
    /// bytes. kind warns of this and fails later.
    #[error("`{0}` is no name of a cluster: it has more than 50 characters")]
    Long(String),
}

impl ClusterName {
    /// The name of a cluster that is there already, whatever kind let it be called.
    pub(crate) fn listed(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The context that kind gives the cluster in a kubeconfig file.
    #[must_use]
    pub fn context(&self) -> String {
        format!("kind-{}", self.0)
    }
}

impl FromStr for ClusterName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
        if text.is_empty() || !text.chars().all(known) {
            Err(NameError::Characters(text.to_owned()))
        } else if text.starts_with(['.', '-']) {
            Err(NameError::Beginning(text.to_owned()))
        } else if text.len() > 50 {
            Err(NameError::Long(text.to_owned()))
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl TryFrom<String> for ClusterName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ClusterName> for String {
    fn from(name: ClusterName) -> Self {
        name.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::usual("conform-7f", true)]
    #[case::dots("a.b", true)]
    #[case::fifty("a23456789b123456789c123456789d123456789e1234567890", true)]
    #[case::more("a23456789b123456789c123456789d123456789e12345678901", false)]
    #[case::empty("", false)]
    #[case::upper("A", false)]
    #[case::underscore("a_b", false)]
    #[case::hyphen("-a", false)]
    #[case::dot(".a", false)]
    #[case::line("a\n", false)]
    fn names_are_what_kind_takes(#[case] text: &str, #[case] good: bool) {
        assert_eq!(text.parse::<ClusterName>().is_ok(), good);
    }
}
