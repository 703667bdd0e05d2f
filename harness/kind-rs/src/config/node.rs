//! A node of a cluster: a container, with its mounts and ports.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::JsonPatch;
use super::network::is_false;

/// A node, which is a container of the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// What it does.
    #[serde(default)]
    pub role: Role,
    /// Its image; the one that the CLI was released with unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Labels of the Kubernetes node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Folders and files of the host that it sees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_mounts: Vec<Mount>,
    /// Ports of the host that lead to ports of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_port_mappings: Vec<PortMapping>,
    /// Merge patches as those of the cluster, applied after them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kubeadm_config_patches: Vec<String>,
    /// JSON patches as those of the cluster, applied after them.
    #[serde(
        rename = "kubeadmConfigPatchesJSON6902",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    pub kubeadm_config_patches_json6902: Vec<JsonPatch>,
}

impl Node {
    /// A control-plane node with nothing else said.
    #[must_use]
    pub fn control_plane() -> Self {
        Self::default()
    }

    /// A worker with nothing else said.
    #[must_use]
    pub fn worker() -> Self {
        Self {
            role: Role::Worker,
            ..Self::default()
        }
    }
}

/// What a node does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It has the control plane; the only node of a cluster takes pods as well.
    #[default]
    ControlPlane,
    /// It takes pods.
    Worker,
}

/// A folder or file of the host that a node sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mount {
    /// Where it is on the host. kind takes a relative path from the CLI's working directory.
    pub host_path: PathBuf,
    /// Where the node sees it.
    pub container_path: PathBuf,
    /// Whether the node may not write it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// Whether `SELinux` labels it for the container.
    #[serde(default, skip_serializing_if = "is_false")]
    pub selinux_relabel: bool,
    /// Which way later mounts below it are passed on; neither unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagation: Option<Propagation>,
}

/// Which way mounts below a mount are passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// Neither.
    None,
    /// From the host to the node.
    HostToContainer,
    /// Both.
    Bidirectional,
}

/// A port of the host that leads to a port of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortMapping {
    /// Port of the node, for example a service's node port.
    pub container_port: u16,
    /// Port of the host.
    #[serde(default, skip_serializing_if = "HostPort::is_free")]
    pub host_port: HostPort,
    /// Address of the host; every address unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen_address: Option<IpAddr>,
    /// Protocol; TCP unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
}

impl PortMapping {
    /// A mapping of a free port of every address of the host to a TCP port of the node.
    #[must_use]
    pub fn new(container_port: u16) -> Self {
        Self {
            container_port,
            host_port: HostPort::Free,
            listen_address: None,
            protocol: None,
        }
    }
}

/// Protocol of a mapped port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A port of the host. In files it is a number: 0 or absent, -1, or the port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i32", into = "i32")]
pub enum HostPort {
    /// kind looks for a free one, and keeps it for the life of the node.
    #[default]
    Free,
    /// The engine takes one, another one after each restart of the node.
    Engine,
    /// This one.
    Fixed(u16),
}

impl HostPort {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
    pub(super) fn is_free(&self) -> bool {
        *self == Self::Free
    }
}

impl TryFrom<i32> for HostPort {
    type Error = String;

    fn try_from(number: i32) -> Result<Self, String> {
        match (number, u16::try_from(number)) {
            (0, _) => Ok(Self::Free),
            (-1, _) => Ok(Self::Engine),
            (_, Ok(port)) => Ok(Self::Fixed(port)),
            (_, Err(_)) => Err(format!("{number} is no port; 0, -1 or 1 to 65535 is wanted")),
        }
    }
}

impl From<HostPort> for i32 {
    fn from(port: HostPort) -> Self {
        match port {
            HostPort::Free => 0,
            HostPort::Engine => -1,
            HostPort::Fixed(port) => port.into(),
        }
    }
}
