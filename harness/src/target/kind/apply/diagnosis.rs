//! Why something does not come up: causes out of a cluster's objects, events and logs. Pure.
//!
//! Each file looks for one family of causes. All look at what the API server says and nothing else, so that
//! every cause is tested on objects recorded from a real cluster with that breakage.
//!
//! Facts about reasons and messages: Kubernetes 1.37 (kubelet's container states and events, controllers'
//! events, the API server's refusals).

mod access;
mod containers;
mod creation;
mod references;
mod services;
mod volumes;

use std::time::Duration;

use super::cluster::{Cluster, ObjectName};

/// What kind of cause it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The API server has no such kind.
    NoDefinition,
    /// A right is missing.
    Access,
    /// An image cannot be had.
    Image,
    /// A `ConfigMap` or Secret has no such key.
    MissingKey,
    /// A `ConfigMap`, Secret or claim is not there.
    MissingObject,
    /// A claim has no storage class that could serve it.
    NoStorageClass,
    /// A quota or limit range forbids the pod.
    Quota,
    /// A container was killed for want of memory.
    OutOfMemory,
    /// A probe has a container killed.
    Probe,
    /// A container ends by itself.
    Crash,
    /// No node takes a pod.
    Unschedulable,
    /// A selector matches nothing.
    SelectsNothing,
    /// A port is referred to by a name that nothing has.
    PortName,
}

impl Fault {
    /// How long it has to be seen before it counts, since some go away by themselves: an operator makes the missing
    /// Secret, another try pulls the image. Well below the 30 s after which the run has to have ended.
    #[must_use]
    pub fn grace(self) -> Duration {
        Duration::from_secs(match self {
            Self::NoDefinition | Self::OutOfMemory => 0,
            Self::Access | Self::Quota | Self::NoStorageClass | Self::Probe => 5,
            Self::Image | Self::MissingKey | Self::PortName | Self::SelectsNothing => 10,
            Self::Crash => 12,
            Self::MissingObject | Self::Unschedulable => 20,
        })
    }
}

/// One cause.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    /// What kind of cause.
    pub fault: Fault,
    /// The object that was applied and does not come up.
    pub object: ObjectName,
    /// What is wrong with it, and the remedy.
    pub what: String,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.object, self.what)
    }
}

/// The causes that can be seen in a cluster, the more fundamental first, each once.
#[must_use]
pub fn causes(cluster: &Cluster) -> Vec<Cause> {
    let mut causes = Vec::new();
    containers::look(cluster, &mut causes);
    references::look(cluster, &mut causes);
    volumes::look(cluster, &mut causes);
    creation::look(cluster, &mut causes);
    access::look(cluster, &mut causes);
    services::look(cluster, &mut causes);
    causes.sort();
    causes.dedup();
    causes
}

/// What is a cause although everything is ready: names of ports that nothing has, and selectors that match nothing. The
/// latter only count then: before, the objects looked for may be about to come.
#[must_use]
pub fn causes_at_rest(cluster: &Cluster) -> Vec<Cause> {
    let mut causes = Vec::new();
    services::look(cluster, &mut causes);
    services::look_at_rest(cluster, &mut causes);
    causes.sort();
    causes.dedup();
    causes
}

#[cfg(test)]
mod tests;
