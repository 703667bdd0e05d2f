//! A server of the tree as it runs here: rendered for free ports, written down, and its client.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use url::Url;

use super::failure::Failure;
use super::server::Server;
use super::workshop::Grounds;
use crate::component::collector::Collector;
use crate::component::elasticsearch::Elasticsearch;
use crate::component::jaeger::Jaeger;
use crate::component::loki::Loki;
use crate::stack::Override;

/// Executable of the Collector.
pub(super) const COLLECTOR: &str = "otelcol";
/// The library that shifts clocks, among the executables.
pub(super) const CLOCK: &str = "libfaketime";

/// A server that can be started, and its client.
pub(super) struct Outfit<C> {
    pub(super) server: Server,
    pub(super) client: C,
}

/// Where a server's things go.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    /// Folder it runs in.
    pub(super) folder: PathBuf,
    /// Folder that keeps its files and log.
    pub(super) artifacts: PathBuf,
}

/// Which tiers a node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tier {
    Hot,
    Warm,
    Cold,
    All,
}

impl Tier {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Warm => "warm",
            Self::Cold => "cold",
            Self::All => "all",
        }
    }
}

pub(super) fn declares_jaeger(_: &Grounds, _adaptive: bool) -> bool {
    true
}

/// A cluster to be.
pub(super) struct ClusterSpec<'a> {
    /// One node for each.
    pub(super) tiers: &'a [Tier],
    /// Where its snapshot repositories may be; a folder of its own when none.
    pub(super) repositories: Option<&'a Path>,
    /// Values in place of the tree's, on every node.
    pub(super) overrides: &'a [Override],
}

/// A Jaeger to be.
pub(super) struct JaegerSpec<'a> {
    /// Where its spans are stored.
    pub(super) store: &'a Url,
    /// Prefix of its indices, the declared one when none.
    pub(super) index_prefix: Option<&'a str>,
    /// Whether it is the one with adaptive sampling.
    pub(super) adaptive: bool,
    /// Its strategies file in place of the declared.
    pub(super) strategies: Option<&'a str>,
    /// Values in place of the tree's.
    pub(super) overrides: &'a [Override],
}

/// The nodes of one cluster, the first of which is asked for all of it.
pub(super) fn cluster(
    _: &Grounds,
    _spec: &ClusterSpec<'_>,
    _spot: impl Fn(&str) -> Spot,
) -> Result<Vec<Outfit<Elasticsearch>>, Failure> {
    Err(unrendered())
}

/// Applies what the tree sets up in Elasticsearch.
pub(super) async fn set_up(_: &Grounds, _client: &Elasticsearch, _nodes: usize) -> Result<(), Failure> {
    Err(unrendered())
}

/// A Jaeger.
pub(super) fn jaeger(_: &Grounds, _spot: &Spot, _spec: &JaegerSpec<'_>) -> Result<Outfit<Jaeger>, Failure> {
    Err(unrendered())
}

/// A Collector.
pub(super) fn collector(
    _: &Grounds,
    _spot: &Spot,
    _to: SocketAddr,
    _overrides: &[Override],
) -> Result<Outfit<Collector>, Failure> {
    Err(unrendered())
}

/// A Loki.
pub(super) fn loki(_: &Grounds, _spot: &Spot, _overrides: &[Override]) -> Result<Outfit<Loki>, Failure> {
    Err(unrendered())
}

fn unrendered() -> Failure {
    Failure::Environment("the deploy tree's traces and logs are not rendered yet".to_owned())
}
