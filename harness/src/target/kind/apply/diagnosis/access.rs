//! Rights that are too narrow, in the words of the API server as operators log them.

use super::super::cluster::{Cluster, text};
use super::{Cause, Fault};

/// How client-go and the API server say it: `RESOURCE is forbidden: User "USER" cannot VERB resource "RESOURCE" in
/// API group "GROUP" ...`.
const FORBIDDEN: &str = "forbidden: User ";

pub(super) fn look(cluster: &Cluster, causes: &mut Vec<Cause>) {
    for (namespace, name, lines) in cluster.logs() {
        let Some(pod) = cluster.get("Pod", namespace, name) else {
            continue;
        };
        // Rights may lag behind the pod that needs them; what is refused again is refused for good.
        let told: Vec<String> = lines.lines().filter_map(reading).collect();
        let Some(refused) = told
            .iter()
            .rev()
            .find(|refused| told.iter().filter(|other| other == refused).count() > 1)
        else {
            continue;
        };
        causes.push(Cause {
            fault: Fault::Access,
            object: cluster.owner(pod),
            what: format!("{refused}; widen its Role (pod {})", text(pod, "/metadata/name")),
        });
    }
}

/// Who may not do what.
pub(super) fn reading(line: &str) -> Option<String> {
    // Inside JSON the quotes are escaped.
    let plain = line.replace("\\\"", "\"");
    let (_, rest) = plain.split_once(FORBIDDEN)?;
    let mut quoted = rest.split('"').skip(1).step_by(2);
    let user = quoted.next()?;
    let resource = quoted.next()?;
    let group = quoted.next()?;
    let verb = rest.split_once(" cannot ")?.1.split(' ').next()?;
    let account = user
        .strip_prefix("system:serviceaccount:")
        .unwrap_or(user)
        .replace(':', "/");
    let group = if group.is_empty() {
        String::new()
    } else {
        format!(" of {group}")
    };
    let place = match rest.split_once("in the namespace \"") {
        Some((_, rest)) => format!(" in namespace {}", rest.split('"').next().unwrap_or_default()),
        None => " in the whole cluster".to_owned(),
    };
    Some(format!(
        "the service account {account} may not {verb} {resource}{group}{place}"
    ))
}
