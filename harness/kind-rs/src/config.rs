//! kind's own configuration, `kind.x-k8s.io/v1alpha4`, as values.
//!
//! Every field of kind v0.33.0 (`pkg/apis/config/v1alpha4/types.go`) is here under its own name; the
//! defaults said here are kind's. What is unset is left out of the rendering, so that kind's defaults
//! stay kind's, and a field that kind does not know is refused on reading, as kind itself does.

mod network;
mod node;

pub use network::{IpFamily, Networking, ProxyMode};
pub use node::{HostPort, Mount, Node, PortMapping, Propagation, Protocol, Role};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ClusterName;

/// Why a configuration cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text is no configuration of this version.
    #[error("not a kind configuration: {0}")]
    Read(String),
    /// The value cannot be rendered as YAML.
    #[error("the kind configuration cannot be rendered: {0}")]
    Write(String),
}

/// A cluster to be.
///
/// The default is kind's: one control-plane node of the image the CLI was released with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// Which kind of object it is; there is one.
    pub kind: ClusterKind,
    /// Which version of the format it is; this is one.
    pub api_version: ApiVersion,
    /// Name of the cluster, where no name is given on the command line. This crate always gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<ClusterName>,
    /// The nodes; none means one control-plane node. More than one control-plane node brings a load
    /// balancer's container besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Node>,
    /// Addresses, subnets and what is installed for them.
    #[serde(default, skip_serializing_if = "Networking::is_default")]
    pub networking: Networking,
    /// Kubernetes feature gates, given to every component.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub feature_gates: BTreeMap<String, bool>,
    /// API groups that the apiserver is told to serve or not, its `--runtime-config`, for example
    /// `api/alpha` to `false`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub runtime_config: BTreeMap<String, String>,
    /// Merge patches (RFC 7386, as YAML) for the objects of kubeadm's configuration; the `kind` in the
    /// patch says for which. Applied before those of a node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kubeadm_config_patches: Vec<String>,
    /// JSON patches (RFC 6902) for the objects of kubeadm's configuration. Applied before those of a node.
    #[serde(
        rename = "kubeadmConfigPatchesJSON6902",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    pub kubeadm_config_patches_json6902: Vec<JsonPatch>,
    /// Merge patches (TOML) for the configuration of every node's containerd, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containerd_config_patches: Vec<String>,
    /// JSON patches (RFC 6902, as YAML or JSON) for the configuration of every node's containerd.
    #[serde(
        rename = "containerdConfigPatchesJSON6902",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    pub containerd_config_patches_json6902: Vec<String>,
}

impl Cluster {
    /// Reads a configuration file's text.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        serde_saphyr::from_str(text).map_err(|error| ConfigError::Read(error.to_string()))
    }

    /// Its configuration file, as `kind create cluster --config` reads it.
    pub fn to_yaml(&self) -> Result<String, ConfigError> {
        // Patches are texts in another format; folded lines would change them.
        let options = serde_saphyr::ser_options! {
            compact_list_indent: false,
            folded_wrap_chars: 1_000_000,
        };
        serde_saphyr::to_string_with_options(self, options)
            .map_err(|error| ConfigError::Write(error.to_string()))
    }
}

/// The kind of object a configuration is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterKind {
    /// A cluster.
    #[default]
    Cluster,
}

/// The version of the format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApiVersion {
    /// The only one that kind v0.33.0 reads besides the one it converts from.
    #[default]
    #[serde(rename = "kind.x-k8s.io/v1alpha4")]
    V1Alpha4,
}

/// A JSON patch (RFC 6902) and the objects of kubeadm's configuration it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonPatch {
    /// The objects' API group, for example `kubeadm.k8s.io`.
    pub group: String,
    /// The objects' API version, for example `v1beta4`.
    pub version: String,
    /// The objects' kind, for example `ClusterConfiguration`.
    pub kind: String,
    /// The patch, as YAML or JSON.
    pub patch: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::net::{IpAddr, Ipv4Addr};

    /// Every field set, each to something that is not its default.
    fn everything() -> Cluster {
        let mapping = PortMapping {
            container_port: 30_090,
            host_port: HostPort::Fixed(9090),
            listen_address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            protocol: Some(Protocol::Tcp),
        };
        Cluster {
            name: Some("all-of-it".parse().unwrap()),
            nodes: vec![
                Node {
                    role: Role::ControlPlane,
                    image: Some("kindest/node:v1.37.2".to_owned()),
                    labels: [("tier", "one"), ("looks-like-a-bool", "true")]
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .into(),
                    extra_mounts: vec![Mount {
                        host_path: "/srv/data".into(),
                        container_path: "/data".into(),
                        read_only: true,
                        selinux_relabel: true,
                        propagation: Some(Propagation::HostToContainer),
                    }],
                    extra_port_mappings: vec![
                        mapping.clone(),
                        PortMapping {
                            host_port: HostPort::Engine,
                            protocol: Some(Protocol::Udp),
                            ..mapping
                        },
                        PortMapping::new(30_091),
                    ],
                    kubeadm_config_patches: vec!["kind: JoinConfiguration\n".to_owned()],
                    kubeadm_config_patches_json6902: vec![],
                },
                Node::worker(),
            ],
            networking: Networking {
                ip_family: Some(IpFamily::Dual),
                api_server_port: HostPort::Fixed(6443),
                api_server_address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                pod_subnet: Some("10.244.0.0/16".to_owned()),
                service_subnet: Some("10.96.0.0/12".to_owned()),
                disable_default_cni: true,
                kube_proxy_mode: Some(ProxyMode::Nftables),
                dns_search: Some(vec![]),
            },
            feature_gates: [("KubeletInUserNamespace".to_owned(), true)].into(),
            runtime_config: [("api/alpha".to_owned(), "false".to_owned())].into(),
            kubeadm_config_patches: vec!["kind: KubeletConfiguration\nfailCgroupV1: false\n".to_owned()],
            kubeadm_config_patches_json6902: vec![JsonPatch {
                group: "kubeadm.k8s.io".to_owned(),
                version: "v1beta4".to_owned(),
                kind: "ClusterConfiguration".to_owned(),
                patch: "- op: add\n  path: /apiServer/certSANs/-\n  value: example.test\n".to_owned(),
            }],
            containerd_config_patches: vec![
                "[plugins.\"io.containerd.grpc.v1.cri\"]\n  enable_cdi = true".to_owned(),
            ],
            containerd_config_patches_json6902: vec![
                "[{\"op\": \"remove\", \"path\": \"/debug\"}]".to_owned(),
            ],
            ..Cluster::default()
        }
    }

    #[test]
    fn a_default_says_only_what_it_is() {
        insta::assert_snapshot!(Cluster::default().to_yaml().unwrap());
    }

    #[test]
    fn every_field_has_kinds_name() {
        insta::assert_snapshot!(everything().to_yaml().unwrap());
    }

    #[test]
    fn what_is_written_reads_as_the_same() {
        for cluster in [Cluster::default(), everything()] {
            assert_eq!(Cluster::from_yaml(&cluster.to_yaml().unwrap()).unwrap(), cluster);
        }
    }

    #[rstest]
    #[case::field("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnode: []\n", "node")]
    #[case::field_of_a_node(
        "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes: [{roles: worker}]\n",
        "roles"
    )]
    #[case::version("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha3\n", "v1alpha3")]
    #[case::port(
        "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnetworking: {apiServerPort: 70000}\n",
        "70000"
    )]
    #[case::name("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nname: A_B\n", "A_B")]
    fn what_kind_does_not_know_is_refused(#[case] text: &str, #[case] named: &str) {
        let error = Cluster::from_yaml(text).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }

    #[rstest]
    #[case("0", HostPort::Free)]
    #[case("-1", HostPort::Engine)]
    #[case("8080", HostPort::Fixed(8080))]
    fn host_ports_are_numbers(#[case] number: &str, #[case] port: HostPort) {
        assert_eq!(serde_saphyr::from_str::<HostPort>(number).unwrap(), port);
        assert_eq!(serde_saphyr::to_string(&port).unwrap().trim(), number);
    }
}
