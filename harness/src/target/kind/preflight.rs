//! Whether a host can have a cluster, judged before anything is made: what hinders it and what to do about
//! it, and what a cluster's configuration has to say there. Pure.

use std::fmt;

use kind_rs::config::Cluster;

use super::engine::EngineError;
use super::host::{Cgroups, Host};
use crate::catalog::space::format_bytes;

/// The name of the runtime that ci/airgap/engine gives an engine on hosts without `CAP_SYS_RESOURCE`.
const OWN_RUNTIME: &str = "conform";
/// Controllers that Kubernetes wants on both versions of cgroups and that can be missing from a list of them
/// (k8s.io/system-validators v1.12.1, as kubeadm v1.37 has it).
const CONTROLLERS: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];
/// inotify instances below which node processes fail with "too many open files" (kind's known issues).
const INOTIFY_INSTANCES: u64 = 512;
/// inotify watches below which they do (kind's known issues).
const INOTIFY_WATCHES: u64 = 524_288;
/// Instances with which one node still comes up; the kernel's own default.
const INOTIFY_INSTANCES_LEAST: u64 = 128;
/// The oldest kernel that Kubernetes supports (k8s.io/system-validators v1.12.1, as kubeadm v1.37 has it);
/// kind has kubeadm skip that check.
const KERNEL: (u32, u32) = (5, 4);

/// What a cluster takes from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// Bytes of memory, with what runs in the cluster.
    pub memory: u64,
    /// Bytes of disk where the engine keeps images and volumes.
    pub disk: u64,
}

impl Demand {
    /// Nothing more than what is there already: a cluster that is taken as it is.
    pub const NONE: Self = Self { memory: 0, disk: 0 };
    /// A cluster of one node with the stack in it. The node alone takes 0.6 GiB of memory, and its image
    /// unpacks to 1 GB; the images of the stack are there twice, in the engine and in the node.
    pub const WHOLE: Self = Self {
        memory: 4 * 1024 * 1024 * 1024,
        disk: 6 * 1024 * 1024 * 1024,
    };
}

/// Something that keeps a host from having a cluster, or may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hindrance {
    /// What it is about, for example `engine`.
    pub subject: &'static str,
    /// What is wrong: a sentence, the cause first.
    pub says: String,
    /// What to do about it.
    pub remedy: String,
    /// Whether there can be no cluster with it; otherwise there may be one that fails later.
    pub fatal: bool,
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.says, self.remedy)
    }
}

/// What hinders a cluster on this host, the fatal before the others.
#[must_use]
pub fn hindrances(host: &Host, demand: Demand) -> Vec<Hindrance> {
    let mut found: Vec<Hindrance> = [
        engine(host),
        capabilities(host),
        cgroups(host),
        inotify("instances", host.inotify_instances, INOTIFY_INSTANCES),
        inotify("watches", host.inotify_watches, INOTIFY_WATCHES),
        room("disk", host.disk_free, demand.disk),
        room("memory", host.memory_available, demand.memory),
        kernel(host),
        overlay(host),
    ]
    .into_iter()
    .flatten()
    .collect();
    found.sort_by_key(|hindrance| !hindrance.fatal);
    found
}

/// Puts into a configuration what this host needs besides.
pub fn adapt(config: &mut Cluster, host: &Host) {
    let own = matches!(&host.engine, Ok(facts) if facts.runtime == OWN_RUNTIME);
    if host.sys_resource == Some(false) || own {
        // It goes on where it may not set its own limits (Kubernetes v1.37, cmd/kubelet/app/server.go).
        config
            .feature_gates
            .insert("KubeletInUserNamespace".to_owned(), true);
    }
    if host.cgroups == Cgroups::V1 {
        // From 1.35 on the kubelet does not start on the first version otherwise.
        config
            .kubeadm_config_patches
            .push("kind: KubeletConfiguration\nfailCgroupV1: false\n".to_owned());
    }
}

fn engine(host: &Host) -> Option<Hindrance> {
    let facts = match &host.engine {
        Ok(facts) => facts,
        Err(error) => {
            let remedy = match error {
                EngineError::NoClient { client, .. } => format!(
                    "install {client}; on Debian without a container registry `ci/airgap/prepare` does it"
                ),
                EngineError::Refused { why, .. } if why.contains("permission denied") => {
                    "join the group of the engine's socket (usermod -aG docker USER) and log in again"
                        .to_owned()
                }
                _ => {
                    "start the engine (`systemctl start docker`, or `ci/airgap/engine` where nothing starts \
                      services)"
                        .to_owned()
                }
            };
            return Some(fatal(
                "engine",
                format!("no container engine answers: {error}"),
                remedy,
            ));
        }
    };
    if facts.rootless && host.cgroups == Cgroups::V1 {
        return Some(fatal(
            "engine",
            "the engine runs without root, and this host has the first version of cgroups, which leaves it no \
             limits to give"
                .to_owned(),
            "run the engine as root, or boot with systemd.unified_cgroup_hierarchy=1".to_owned(),
        ));
    }
    (facts.storage_driver == "vfs").then(|| Hindrance {
        subject: "engine",
        says:
            "the engine copies whole file systems (storage driver vfs): images take minutes and many times \
               their size"
                .to_owned(),
        remedy: "put the engine's folder on a file system that takes overlays (ext4, xfs)".to_owned(),
        fatal: false,
    })
}

fn capabilities(host: &Host) -> Option<Hindrance> {
    let runtime = &host.engine.as_ref().ok()?.runtime;
    (host.sys_resource == Some(false) && runtime != OWN_RUNTIME).then(|| {
        fatal(
            "capabilities",
            format!("this host withholds CAP_SYS_RESOURCE, and the engine's runtime ({runtime}) asks for it in every node"),
            "start the engine by `ci/airgap/engine`, whose runtime does without".to_owned(),
        )
    })
}

fn cgroups(host: &Host) -> Option<Hindrance> {
    let missing: Vec<&str> = CONTROLLERS
        .into_iter()
        .filter(|wanted| !host.controllers.iter().any(|controller| controller == wanted))
        .collect();
    (!missing.is_empty()).then(|| {
        fatal(
            "cgroups",
            format!("this host's cgroups have no controller {}", missing.join(", ")),
            "enable them on the kernel's command line (cgroup_enable=memory) or for the user's slice \
             (Delegate=yes)"
                .to_owned(),
        )
    })
}

fn inotify(what: &'static str, has: Option<u64>, wanted: u64) -> Option<Hindrance> {
    let has = has.filter(|has| *has < wanted)?;
    Some(Hindrance {
        subject: "inotify",
        says: format!(
            "a user may have {has} inotify {what} here; several clusters side by side want {wanted}"
        ),
        remedy: format!("sysctl fs.inotify.max_user_{what}={wanted}"),
        fatal: what == "instances" && has < INOTIFY_INSTANCES_LEAST,
    })
}

fn room(subject: &'static str, has: Option<u64>, wanted: u64) -> Option<Hindrance> {
    let has = has.filter(|has| *has < wanted)?;
    let remedy = match subject {
        "disk" => "free space where the engine keeps its images (docker system df), or move its data-root",
        _ => "end what takes memory, or run fewer stacks side by side",
    };
    Some(fatal(
        subject,
        format!(
            "{} of {subject} are free, and a cluster takes {}",
            format_bytes(has),
            format_bytes(wanted)
        ),
        remedy.to_owned(),
    ))
}

fn kernel(host: &Host) -> Option<Hindrance> {
    let release = host.kernel.as_deref()?;
    let (major, minor) = KERNEL;
    (numbers(release)? < KERNEL).then(|| Hindrance {
        subject: "kernel",
        says: format!("the kernel is {release}, and Kubernetes supports {major}.{minor} or newer"),
        remedy: "boot a newer kernel".to_owned(),
        fatal: false,
    })
}

fn overlay(host: &Host) -> Option<Hindrance> {
    // A module that is not loaded yet is not listed; with the engine's own driver it is.
    let unused = host.engine.as_ref().ok()?.storage_driver != "overlay2";
    (host.overlay == Some(false) && unused).then(|| Hindrance {
        subject: "kernel",
        says:
            "the kernel lists no overlay file systems, with which containerd unpacks images inside the node"
                .to_owned(),
        remedy: "modprobe overlay".to_owned(),
        fatal: false,
    })
}

fn fatal(subject: &'static str, says: String, remedy: String) -> Hindrance {
    Hindrance {
        subject,
        says,
        remedy,
        fatal: true,
    }
}

/// The first two numbers of a kernel's release.
fn numbers(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::kind::host::EngineFacts;
    use kind_rs::Provider;
    use rstest::rstest;

    const GB: u64 = 1_000_000_000;
    const DEMAND: Demand = Demand {
        memory: 4 * GB,
        disk: 10 * GB,
    };

    fn good() -> Host {
        Host {
            engine: Ok(EngineFacts {
                version: "28.2.2".to_owned(),
                storage_driver: "overlay2".to_owned(),
                root: "/var/lib/docker".into(),
                runtime: "runc".to_owned(),
                rootless: false,
                cgroups: Some(Cgroups::V2),
                controllers: CONTROLLERS.map(str::to_owned).to_vec(),
            }),
            sys_resource: Some(true),
            cgroups: Cgroups::V2,
            controllers: CONTROLLERS.map(str::to_owned).to_vec(),
            inotify_instances: Some(8192),
            inotify_watches: Some(1_048_576),
            disk_free: Some(100 * GB),
            memory_available: Some(16 * GB),
            kernel: Some("6.1.0-18-amd64".to_owned()),
            overlay: Some(true),
        }
    }

    fn facts(host: &mut Host) -> &mut EngineFacts {
        host.engine.as_mut().unwrap()
    }

    #[test]
    fn nothing_hinders_a_good_host_and_its_configuration_stays() {
        assert_eq!(hindrances(&good(), DEMAND), []);
        let mut config = Cluster::default();
        adapt(&mut config, &good());
        assert_eq!(config, Cluster::default());
    }

    #[test]
    fn facts_that_cannot_be_read_hinder_nothing() {
        let host = Host {
            sys_resource: None,
            inotify_instances: None,
            inotify_watches: None,
            disk_free: None,
            memory_available: None,
            kernel: None,
            overlay: None,
            ..good()
        };
        assert_eq!(hindrances(&host, DEMAND), []);
    }

    #[rstest]
    #[case::no_client("engine", true, |host: &mut Host| host.engine = Err(EngineError::NoClient { client: Provider::Docker, why: "x".into() }))]
    #[case::no_engine("engine", true, |host: &mut Host| host.engine = Err(EngineError::Silent { command: "docker info".into() }))]
    #[case::vfs("engine", false, |host: &mut Host| facts(host).storage_driver = "vfs".into())]
    #[case::rootless("engine", true, |host: &mut Host| { facts(host).rootless = true; host.cgroups = Cgroups::V1; })]
    #[case::withheld("capabilities", true, |host: &mut Host| host.sys_resource = Some(false))]
    #[case::controller("cgroups", true, |host: &mut Host| host.controllers.retain(|one| one != "memory"))]
    #[case::instances("inotify", false, |host: &mut Host| host.inotify_instances = Some(128))]
    #[case::few_instances("inotify", true, |host: &mut Host| host.inotify_instances = Some(64))]
    #[case::watches("inotify", false, |host: &mut Host| host.inotify_watches = Some(8192))]
    #[case::disk("disk", true, |host: &mut Host| host.disk_free = Some(GB))]
    #[case::memory("memory", true, |host: &mut Host| host.memory_available = Some(GB))]
    #[case::kernel("kernel", false, |host: &mut Host| host.kernel = Some("3.10.0-1160.el7".into()))]
    fn each_lack_is_named_with_a_remedy(
        #[case] subject: &str,
        #[case] fatal: bool,
        #[case] spoil: fn(&mut Host),
    ) {
        let mut host = good();
        spoil(&mut host);
        let found = hindrances(&host, DEMAND);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].subject, found[0].fatal), (subject, fatal));
        assert!(!found[0].remedy.is_empty());
    }

    #[test]
    fn a_host_without_the_capability_and_on_old_cgroups_needs_more_configuration() {
        let mut host = Host {
            sys_resource: Some(false),
            cgroups: Cgroups::V1,
            ..good()
        };
        facts(&mut host).runtime = OWN_RUNTIME.to_owned();
        assert_eq!(hindrances(&host, DEMAND), []);
        let mut config = Cluster::default();
        adapt(&mut config, &host);
        assert!(config.feature_gates["KubeletInUserNamespace"]);
        assert_eq!(config.kubeadm_config_patches.len(), 1);
    }
}
