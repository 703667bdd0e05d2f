//! Pods as workloads declare them (core/v1): what a plain process has of them, and the rest by name.

use serde::Deserialize;
use serde_json::Value;

use crate::deploy::typed::IntOrString;

/// The pods of a workload.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PodTemplate {
    #[serde(default)]
    #[expect(dead_code, reason = "labels and annotations mean something in a cluster only")]
    pub(crate) metadata: Option<Value>,
    pub(crate) spec: PodSpec,
}

/// A pod. A plain process has the arguments and variables of one of its containers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "what means something in a cluster only is known, so that it is not refused"
)]
pub(crate) struct PodSpec {
    pub(crate) containers: Vec<Container>,
    #[serde(default)]
    pub(crate) volumes: Vec<Volume>,
    pub(crate) init_containers: Option<Value>,
    pub(crate) restart_policy: Option<Value>,
    pub(crate) service_account_name: Option<Value>,
    pub(crate) automount_service_account_token: Option<Value>,
    pub(crate) affinity: Option<Value>,
    pub(crate) node_selector: Option<Value>,
    pub(crate) tolerations: Option<Value>,
    pub(crate) topology_spread_constraints: Option<Value>,
    pub(crate) priority_class_name: Option<Value>,
    pub(crate) security_context: Option<Value>,
    pub(crate) termination_grace_period_seconds: Option<Value>,
    pub(crate) image_pull_secrets: Option<Value>,
    pub(crate) dns_policy: Option<Value>,
    pub(crate) dns_config: Option<Value>,
    pub(crate) enable_service_links: Option<Value>,
}

/// A container.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "what means something in a cluster only is known, so that it is not refused"
)]
pub(crate) struct Container {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) args: Vec<String>,
    #[serde(default)]
    pub(crate) env: Vec<Variable>,
    #[serde(default)]
    pub(crate) volume_mounts: Vec<VolumeMount>,
    pub(crate) image: Option<Value>,
    pub(crate) image_pull_policy: Option<Value>,
    pub(crate) ports: Option<Value>,
    pub(crate) startup_probe: Option<Value>,
    pub(crate) readiness_probe: Option<Value>,
    pub(crate) liveness_probe: Option<Value>,
    pub(crate) lifecycle: Option<Value>,
    pub(crate) resources: Option<Value>,
    pub(crate) security_context: Option<Value>,
}

/// An environment variable.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: Option<IntOrString>,
    /// Out of a Secret, a `ConfigMap` or the pod itself.
    pub(crate) value_from: Option<Value>,
}

/// Where a container sees a volume.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "what means something in a cluster only is known, so that it is not refused"
)]
pub(crate) struct VolumeMount {
    pub(crate) name: String,
    pub(crate) mount_path: String,
    pub(crate) sub_path: Option<String>,
    pub(crate) read_only: Option<bool>,
}

/// A volume.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "what means something in a cluster only is known, so that it is not refused"
)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) config_map: Option<ConfigMapVolume>,
    pub(crate) secret: Option<Value>,
    pub(crate) empty_dir: Option<Value>,
    pub(crate) persistent_volume_claim: Option<Value>,
}

/// A volume of the files of a `ConfigMap`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ConfigMapVolume {
    pub(crate) name: String,
    /// All keys under their own names where empty.
    #[serde(default)]
    pub(crate) items: Vec<KeyToPath>,
}

/// Under which name a key of a `ConfigMap` is a file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct KeyToPath {
    pub(crate) key: String,
    pub(crate) path: String,
}

/// The `ConfigMap` and key behind a path that a container reads, none when no `ConfigMap` is mounted there.
pub(crate) fn config_map_file<'p>(
    mounts: &'p [VolumeMount],
    volumes: &'p [Volume],
    path: &str,
) -> Option<(&'p str, String)> {
    mounts.iter().find_map(|mount| {
        let inside = match &mount.sub_path {
            Some(sub_path) => (path == mount.mount_path).then(|| sub_path.clone())?,
            None => path
                .strip_prefix(mount.mount_path.trim_end_matches('/'))?
                .strip_prefix('/')?
                .to_owned(),
        };
        let files = volumes
            .iter()
            .find(|v| v.name == mount.name)?
            .config_map
            .as_ref()?;
        let key = if files.items.is_empty() {
            inside
        } else {
            files.items.iter().find(|item| item.path == inside)?.key.clone()
        };
        Some((files.name.as_str(), key))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case("/etc/a/x.json", Some(("one", "x.json")))]
    #[case("/etc/b/renamed", Some(("two", "key")))]
    #[case("/etc/b/key", None)]
    #[case("/etc/c.yml", Some(("one", "c.yml")))]
    #[case("/etc/ax.json", None)]
    #[case("/secret/x", None)]
    fn a_path_leads_to_the_config_map_behind_it(#[case] path: &str, #[case] expected: Option<(&str, &str)>) {
        let mounts: Vec<VolumeMount> = serde_json::from_value(json!([
            {"name": "a", "mountPath": "/etc/a/"},
            {"name": "b", "mountPath": "/etc/b"},
            {"name": "a", "mountPath": "/etc/c.yml", "subPath": "c.yml"},
            {"name": "s", "mountPath": "/secret"},
        ]))
        .unwrap();
        let volumes: Vec<Volume> = serde_json::from_value(json!([
            {"name": "a", "configMap": {"name": "one"}},
            {"name": "b", "configMap": {"name": "two", "items": [{"key": "key", "path": "renamed"}]}},
            {"name": "s", "secret": {"secretName": "x"}},
        ]))
        .unwrap();
        let found = config_map_file(&mounts, &volumes, path);
        assert_eq!(found.as_ref().map(|(name, key)| (*name, key.as_str())), expected);
    }
}
