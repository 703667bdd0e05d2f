//! What a service account may do: the question and the answer. Pure.

use std::fmt;

use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceAccount {}/{}", self.namespace, self.name)
    }
}

/// Something that somebody may or may not do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// A verb on objects.
    Resource {
        /// Verb, for example `list`.
        verb: String,
        /// Group, empty for the core one.
        group: String,
        /// Resource in the plural, with `/subresource` where one is meant.
        resource: String,
        /// Namespace, empty for all of them and for what lies in none.
        namespace: String,
        /// Name of one object, empty for any.
        name: String,
    },
    /// A verb on a path that is no object, for example `get /metrics`.
    Path {
        /// Verb, for example `get`.
        verb: String,
        /// The path.
        path: String,
    },
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource {
                verb,
                group,
                resource,
                namespace,
                name,
            } => {
                write!(f, "{verb} {resource}")?;
                if !group.is_empty() {
                    write!(f, ".{group}")?;
                }
                if !name.is_empty() {
                    write!(f, " {name}")?;
                }
                if namespace.is_empty() {
                    write!(f, " of the cluster")
                } else {
                    write!(f, " in {namespace}")
                }
            }
            Self::Path { verb, path } => write!(f, "{verb} {path}"),
        }
    }
}

impl Access {
    /// The question as the API server takes it. A service account is in three groups by being one (Kubernetes 1.37,
    /// `k8s.io/apiserver/pkg/authentication/serviceaccount`); a review does not add them by itself.
    pub(super) fn review(&self, who: &ServiceAccount) -> SubjectAccessReview {
        let ServiceAccount { namespace, name } = who;
        let mut spec = SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{namespace}:{name}")),
            groups: Some(vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ]),
            ..SubjectAccessReviewSpec::default()
        };
        match self {
            Self::Resource {
                verb,
                group,
                resource,
                namespace,
                name,
            } => {
                let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
                let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
                spec.resource_attributes = Some(ResourceAttributes {
                    verb: said(verb),
                    group: said(group),
                    resource: said(resource),
                    subresource: said(subresource),
                    namespace: said(namespace),
                    name: said(name),
                    ..ResourceAttributes::default()
                });
            }
            Self::Path { verb, path } => {
                spec.non_resource_attributes = Some(NonResourceAttributes {
                    verb: Some(verb.clone()),
                    path: Some(path.clone()),
                });
            }
        }
        SubjectAccessReview {
            spec,
            ..SubjectAccessReview::default()
        }
    }
}

/// The API server's answer to whether somebody may do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether they may.
    pub allowed: bool,
    /// The server's reason, for example which binding allows it; empty where it gives none.
    pub reason: String,
}

impl Answer {
    pub(super) fn of(review: SubjectAccessReview) -> Option<Self> {
        let status = review.status?;
        Some(Self {
            allowed: status.allowed,
            reason: status.reason.or(status.evaluation_error).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn operator() -> ServiceAccount {
        ServiceAccount {
            namespace: "monitoring".to_owned(),
            name: "operator".to_owned(),
        }
    }

    #[test]
    fn a_question_names_the_account_its_groups_and_the_subresource() {
        let access = Access::Resource {
            verb: "get".to_owned(),
            group: String::new(),
            resource: "nodes/metrics".to_owned(),
            namespace: String::new(),
            name: String::new(),
        };
        assert_eq!(access.to_string(), "get nodes/metrics of the cluster");
        let review = serde_json::to_value(access.review(&operator())).expect("a review is JSON");
        assert_eq!(
            review["spec"],
            json!({
                "user": "system:serviceaccount:monitoring:operator",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:monitoring", "system:authenticated"],
                "resourceAttributes": {"verb": "get", "resource": "nodes", "subresource": "metrics"},
            })
        );
    }

    #[test]
    fn a_path_is_asked_for_as_a_path() {
        let access = Access::Path {
            verb: "get".to_owned(),
            path: "/metrics".to_owned(),
        };
        let review = serde_json::to_value(access.review(&operator())).expect("a review is JSON");
        assert_eq!(
            review["spec"]["nonResourceAttributes"],
            json!({"verb": "get", "path": "/metrics"})
        );
        assert_eq!(Answer::of(access.review(&operator())), None);
    }
}
