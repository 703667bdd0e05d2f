//! What the tree needs from outside of it, made for a cluster that lives as long as its run: the Secrets that the
//! headers of its files name, and what cert-manager would issue.
//!
//! A cluster that has them keeps them: passwords are set once, when Elasticsearch forms, and certificates are
//! trusted by what started with them.

use std::collections::BTreeSet;

use k8s_openapi::ByteString;
use rand::RngExt as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

use super::cluster::{ObjectName, text, values};
use crate::seed::Seed;

/// The namespace of the Secrets.
const NAMESPACE: &str = "monitoring";

/// Secrets with certificates (`tls.crt`, `tls.key`, `ca.crt`) and the names these are for.
const CERTIFICATES: [(&str, [&str; 2]); 2] = [
    (
        "elasticsearch-http-tls",
        ["elasticsearch.monitoring", "*.elasticsearch-nodes.monitoring"],
    ),
    (
        "elasticsearch-transport-tls",
        ["elasticsearch.monitoring", "*.elasticsearch-nodes.monitoring"],
    ),
];

/// Secrets with passwords, and their keys.
const PASSWORDS: [(&str, &[&str]); 4] = [
    (
        "elasticsearch-users",
        &["elastic", "jaeger", "logstash", "monitoring"],
    ),
    ("elasticsearch-s3", &["access-key", "secret-key"]),
    ("loki-s3", &["access-key", "secret-key"]),
    (
        "backup-s3",
        &["BUCKET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
    ),
];

/// How long a password is: letters and digits, which need quoting nowhere.
const PASSWORD_LENGTH: usize = 24;

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// One cannot be made.
    #[error("a certificate for {names} cannot be made: {source}")]
    Certificate {
        /// The names it is for.
        names: String,
        /// Why.
        source: rcgen::Error,
    },
    /// A cluster that was made before has only some of what it needs.
    #[error(
        "the cluster has some of the Secrets it needs and lacks {0}; delete the cluster, or create what is missing"
    )]
    Partly(String),
}

/// The names of the Secrets that a set of objects refers to and does not hold, those that cert-manager would make among
/// them.
#[must_use]
pub fn needed(objects: &[Value]) -> BTreeSet<ObjectName> {
    let secret = |namespace: &str, name: &str| ObjectName {
        kind: "Secret".to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    let issued = objects.iter().filter(|object| is_issued(object)).map(|object| {
        secret(
            text(object, "/metadata/namespace"),
            text(object, "/spec/secretName"),
        )
    });
    let named = CERTIFICATES
        .iter()
        .map(|(name, _)| *name)
        .chain(PASSWORDS.iter().map(|(name, _)| *name))
        .filter(|name| objects.iter().any(|object| mentions(object, name)))
        .map(|name| secret(NAMESPACE, name));
    let held: BTreeSet<ObjectName> = objects.iter().map(ObjectName::of).collect();
    issued.chain(named).filter(|name| !held.contains(name)).collect()
}

/// The set with everything it needs from outside: its own objects, Secrets in place of what cert-manager would issue,
/// and the authority put into the webhooks that wait for it.
///
/// `present` are the Secrets that the cluster has already; where it has all that are needed they are kept, and
/// `authority` is the text of `ca.crt` among them. Passwords are drawn from the seed; keys of certificates are not.
pub fn completed(
    objects: Vec<Value>,
    present: &BTreeSet<ObjectName>,
    authority: Option<&str>,
    seed: Seed,
) -> Result<Vec<Value>, OutsideError> {
    let needed = needed(&objects);
    let missing: Vec<&ObjectName> = needed.difference(present).collect();
    match (missing.is_empty(), authority) {
        // A set may need nothing at all.
        (true, None) if needed.is_empty() => Ok(objects),
        (true, Some(authority)) => Ok(replaced(objects, authority)),
        _ if missing.len() == needed.len() => made(objects, &needed, seed),
        _ => Err(OutsideError::Partly(
            missing
                .iter()
                .map(|name| name.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        )),
    }
}

/// Whether a text of the object is this one.
fn mentions(object: &Value, wanted: &str) -> bool {
    match object {
        Value::String(text) => text == wanted,
        Value::Array(items) => items.iter().any(|item| mentions(item, wanted)),
        Value::Object(members) => members.values().any(|member| mentions(member, wanted)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_issued(object: &Value) -> bool {
    text(object, "/kind") == "Certificate" && text(object, "/apiVersion").starts_with("cert-manager.io/")
}

/// The set without the objects of cert-manager, its authority in the webhooks.
fn replaced(objects: Vec<Value>, authority: &str) -> Vec<Value> {
    let bundle = json!(ByteString(authority.as_bytes().to_vec()));
    objects
        .into_iter()
        .filter(|object| !text(object, "/apiVersion").starts_with("cert-manager.io/"))
        .map(|mut object| {
            let waits = object
                .pointer("/metadata/annotations/cert-manager.io~1inject-ca-from")
                .is_some();
            if waits && let Some(Value::Array(webhooks)) = object.get_mut("webhooks") {
                for webhook in webhooks {
                    if let Some(Value::Object(client)) = webhook.get_mut("clientConfig") {
                        client.insert("caBundle".to_owned(), bundle.clone());
                    }
                }
            }
            object
        })
        .collect()
}

fn made(objects: Vec<Value>, needed: &BTreeSet<ObjectName>, seed: Seed) -> Result<Vec<Value>, OutsideError> {
    let authority = Authority::new()?;
    let mut secrets = Vec::new();
    for object in objects.iter().filter(|object| is_issued(object)) {
        let hosts: Vec<String> = values(object, "/spec/dnsNames")
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        secrets.push(secret(
            text(object, "/metadata/namespace"),
            text(object, "/spec/secretName"),
            &authority.certificate(hosts)?,
        ));
    }
    for (name, hosts) in CERTIFICATES {
        let hosts = hosts.map(str::to_owned).to_vec();
        secrets.push(secret(NAMESPACE, name, &authority.certificate(hosts)?));
    }
    for (name, keys) in PASSWORDS {
        let passwords = keys
            .iter()
            .map(|key| ((*key).to_owned(), password(seed, &format!("{name}/{key}")).into()))
            .collect();
        secrets.push(secret(NAMESPACE, name, &Value::Object(passwords)));
    }
    secrets.retain(|secret| needed.contains(&ObjectName::of(secret)));
    let mut whole = replaced(objects, &authority.0.pem());
    whole.extend(secrets);
    Ok(whole)
}

fn secret(namespace: &str, name: &str, content: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": content,
    })
}

fn password(seed: Seed, of: &str) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut stream = seed.stream(&format!("secret {of}"));
    (0..PASSWORD_LENGTH)
        .filter_map(|_| LETTERS.get(stream.random_range(0..LETTERS.len())))
        .map(|letter| char::from(*letter))
        .collect()
}

/// Who signs the certificates of a cluster.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Result<Self, OutsideError> {
        let names = "the cluster's authority";
        let failed = |source| OutsideError::Certificate {
            names: names.to_owned(),
            source,
        };
        let mut parameters = CertificateParams::new(Vec::new()).map_err(failed)?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().map_err(failed)?;
        Ok(Self(
            CertifiedIssuer::self_signed(parameters, key).map_err(failed)?,
        ))
    }

    /// A certificate for these names: `tls.crt`, `tls.key` and `ca.crt`.
    fn certificate(&self, hosts: Vec<String>) -> Result<Value, OutsideError> {
        let names = hosts.join(", ");
        let failed = |source| OutsideError::Certificate {
            names: names.clone(),
            source,
        };
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = CertificateParams::new(hosts)
            .and_then(|parameters| parameters.signed_by(&key, &self.0))
            .map_err(failed)?;
        Ok(json!({
            "tls.crt": certificate.pem(),
            "tls.key": key.serialize_pem(),
            "ca.crt": self.0.pem(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Seed = Seed(7);

    fn set() -> Vec<Value> {
        vec![
            json!({"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "i", "namespace": "monitoring"}}),
            json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "c", "namespace": "monitoring"},
                "spec": {"secretName": "webhook", "dnsNames": ["webhook.monitoring.svc"]}}),
            json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": "w", "annotations": {"cert-manager.io/inject-ca-from": "monitoring/c"}},
                "webhooks": [{"name": "w", "clientConfig": {"service": {"name": "webhook"}}}]}),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "monitoring"}, "spec": {"volumes": [
                {"name": "a", "secret": {"secretName": "elasticsearch-http-tls"}}, {"name": "b", "secret": {"secretName": "loki-s3"}}]}}),
        ]
    }

    #[test]
    fn a_new_cluster_gets_everything_under_one_authority() {
        let whole = completed(set(), &BTreeSet::new(), None, SEED).unwrap();
        let secrets: BTreeSet<ObjectName> = whole
            .iter()
            .filter(|o| o["kind"] == "Secret")
            .map(ObjectName::of)
            .collect();
        assert_eq!(secrets, needed(&set()));
        assert_eq!(secrets.len(), 3, "what nobody refers to is not made");
        assert!(
            whole
                .iter()
                .all(|o| !text(o, "/apiVersion").starts_with("cert-manager"))
        );
        let bundle = text(&whole[0], "/webhooks/0/clientConfig/caBundle");
        let ByteString(authority) = serde_json::from_value(json!(bundle)).unwrap();
        for secret in whole.iter().filter(|o| o["stringData"].get("ca.crt").is_some()) {
            assert_eq!(text(secret, "/stringData/ca.crt").as_bytes(), authority);
        }
    }

    #[test]
    fn a_cluster_that_has_them_keeps_them() {
        let whole = completed(set(), &needed(&set()), Some("authority"), SEED).unwrap();
        assert!(whole.iter().all(|o| o["kind"] != "Secret"));
        assert_eq!(
            text(&whole[0], "/webhooks/0/clientConfig/caBundle"),
            "YXV0aG9yaXR5"
        );
    }

    #[test]
    fn a_cluster_that_has_some_is_not_guessed_at() {
        let mut some = needed(&set());
        some.retain(|name| name.name != "loki-s3");
        let error = completed(set(), &some, Some("authority"), SEED)
            .unwrap_err()
            .to_string();
        assert!(error.contains("lacks loki-s3"), "{error}");
    }

    #[test]
    fn a_set_that_needs_nothing_stays_as_it_is() {
        let set = vec![
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}}),
        ];
        assert_eq!(completed(set.clone(), &BTreeSet::new(), None, SEED).unwrap(), set);
    }

    #[test]
    fn passwords_need_no_quoting() {
        let made = password(SEED, "users/elastic");
        assert_ne!(made, password(SEED, "users/jaeger"));
        assert_eq!(made.len(), PASSWORD_LENGTH);
        assert!(made.chars().all(|c| c.is_ascii_alphanumeric()));
    }
}
