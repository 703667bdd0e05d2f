//! The network of a cluster.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::node::HostPort;

/// Addresses, subnets and what is installed for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Networking {
    /// Families of addresses; IPv4 unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_family: Option<IpFamily>,
    /// Port of the host on which the apiserver is reached.
    #[serde(default, skip_serializing_if = "HostPort::is_free")]
    pub api_server_port: HostPort,
    /// Address of the host on which the apiserver is reached; the loopback address unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_server_address: Option<IpAddr>,
    /// Addresses of pods, in CIDR notation; `10.244.0.0/16` for IPv4 unless said otherwise. A list for
    /// two families is separated by a comma.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_subnet: Option<String>,
    /// Addresses of services, in CIDR notation; `10.96.0.0/16` for IPv4 unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_subnet: Option<String>,
    /// Leaves pods without a network: the cluster is not ready until one is installed.
    #[serde(rename = "disableDefaultCNI", default, skip_serializing_if = "is_false")]
    pub disable_default_cni: bool,
    /// How services are routed; by iptables unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kube_proxy_mode: Option<ProxyMode>,
    /// The nodes' DNS search domains; the host's where unset, none where empty.
    #[serde(rename = "dnsSearch", default, skip_serializing_if = "Option::is_none")]
    pub dns_search: Option<Vec<String>>,
}

impl Networking {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
pub(super) fn is_false(value: &bool) -> bool {
    !value
}

/// Families of addresses of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpFamily {
    /// IPv4 alone.
    Ipv4,
    /// IPv6 alone.
    Ipv6,
    /// Both.
    Dual,
}

/// How kube-proxy routes services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyMode {
    /// By iptables.
    Iptables,
    /// By IPVS.
    Ipvs,
    /// By nftables; Kubernetes 1.31 or newer.
    Nftables,
    /// Not at all: no kube-proxy is installed.
    None,
}
