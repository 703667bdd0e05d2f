//! What a node container depends on, read from the host and its engine; `preflight` judges it.

use std::fs;
use std::path::PathBuf;

use kind_rs::Provider;
use serde_json::Value;

use super::engine::{Engine, EngineError};
use crate::catalog::space;
use crate::target::memory;

/// The capability that privileged containers ask for and some hosts withhold; bit 24 of the bounding set
/// (linux/capability.h).
const SYS_RESOURCE: u32 = 24;

/// What the engine can limit, by its own name, and the controller that it takes for it.
const LIMITS: [(&str, &str); 4] = [
    ("CPUShares", "cpu"),
    ("CPUSet", "cpuset"),
    ("MemoryLimit", "memory"),
    ("PidsLimit", "pids"),
];

/// Which version of control groups the nodes' host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cgroups {
    /// The first, or both.
    V1,
    /// The second alone.
    V2,
}

/// What the engine says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFacts {
    /// Its version, for example `20.10.24`.
    pub version: String,
    /// How it lays file systems over each other, for example `overlay2`.
    pub storage_driver: String,
    /// The folder it keeps images and volumes in.
    pub root: PathBuf,
    /// The runtime it starts containers with, for example `runc`.
    pub runtime: String,
    /// Whether it runs without root.
    pub rootless: bool,
    /// The version of control groups it uses, where it says so.
    pub cgroups: Option<Cgroups>,
    /// Controllers it can limit containers with.
    pub controllers: Vec<String>,
}

/// What is known of the host. A fact that cannot be read is absent, and hinders nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The engine's own account, or why there is none.
    pub engine: Result<EngineFacts, EngineError>,
    /// Whether the engine may give `CAP_SYS_RESOURCE` to containers. Absent where its process is not seen: a
    /// harness in a container of its own has fewer capabilities than the engine outside has.
    pub sys_resource: Option<bool>,
    /// The version of control groups.
    pub cgroups: Cgroups,
    /// Controllers that are there.
    pub controllers: Vec<String>,
    /// inotify instances a user may have.
    pub inotify_instances: Option<u64>,
    /// inotify watches a user may have.
    pub inotify_watches: Option<u64>,
    /// Free bytes where the engine keeps images and volumes.
    pub disk_free: Option<u64>,
    /// Bytes of memory that are available.
    pub memory_available: Option<u64>,
    /// The kernel's release, for example `6.18.44`.
    pub kernel: Option<String>,
    /// Whether the kernel has overlay file systems.
    pub overlay: Option<bool>,
}

impl Host {
    /// Reads the facts of this host. What the engine does not tell is taken to be that of this host.
    pub async fn read(engine: &Engine) -> Self {
        let facts = engine
            .ask_json(&["info", "--format", "{{json .}}"])
            .await
            .and_then(|info| engine_facts(&info));
        let number = |path: &str| read(path)?.trim().parse().ok();
        let unified = read("/sys/fs/cgroup/cgroup.controllers");
        let here = if unified.is_some() {
            Cgroups::V2
        } else {
            Cgroups::V1
        };
        let told = facts.as_ref().ok();
        Self {
            sys_resource: engine_status(engine.provider())
                .and_then(|status| has_capability(&status, SYS_RESOURCE)),
            cgroups: told.and_then(|facts| facts.cgroups).unwrap_or(here),
            controllers: match (told, unified) {
                (Some(facts), _) => facts.controllers.clone(),
                (None, Some(text)) => text.split_whitespace().map(str::to_owned).collect(),
                (None, None) => read("/proc/cgroups").map_or_else(Vec::new, |text| controllers(&text)),
            },
            inotify_instances: number("/proc/sys/fs/inotify/max_user_instances"),
            inotify_watches: number("/proc/sys/fs/inotify/max_user_watches"),
            disk_free: told
                .filter(|facts| facts.root.is_dir())
                .and_then(|facts| space::free(&facts.root)),
            memory_available: memory::available(),
            kernel: read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
            overlay: read("/proc/filesystems")
                .map(|text| text.lines().any(|line| line.ends_with("\toverlay"))),
            engine: facts,
        }
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The status of the process whose capabilities limit a container's: Docker's is its engine, where it is
/// seen here and is the only one; Podman has none and starts containers itself.
fn engine_status(provider: Provider) -> Option<String> {
    if provider == Provider::Podman {
        return read("/proc/self/status");
    }
    let mut engines = fs::read_dir("/proc").ok()?.filter_map(|entry| {
        let folder = entry.ok()?.path();
        let command = fs::read_to_string(folder.join("comm")).ok()?;
        (command.trim_end() == "dockerd").then(|| fs::read_to_string(folder.join("status")).ok())?
    });
    let engine = engines.next()?;
    engines.next().is_none().then_some(engine)
}

fn engine_facts(info: &Value) -> Result<EngineFacts, EngineError> {
    // Older clients succeed where the engine does not answer, and tell so among its facts.
    if let Some(why) = info["ServerErrors"].as_array().and_then(|errors| errors.first()) {
        return Err(EngineError::Refused {
            command: "docker info".to_owned(),
            why: why.as_str().unwrap_or_default().to_owned(),
        });
    }
    let text = |name: &str| info[name].as_str().unwrap_or_default().to_owned();
    let rootless = info["SecurityOptions"]
        .as_array()
        .is_some_and(|options| options.iter().any(|option| option == "name=rootless"));
    Ok(EngineFacts {
        version: text("ServerVersion"),
        storage_driver: text("Driver"),
        root: text("DockerRootDir").into(),
        runtime: text("DefaultRuntime"),
        rootless,
        cgroups: match info["CgroupVersion"].as_str() {
            Some("1") => Some(Cgroups::V1),
            Some("2") => Some(Cgroups::V2),
            _ => None,
        },
        controllers: LIMITS
            .into_iter()
            .filter(|(limit, _)| info[limit] == true)
            .map(|(_, controller)| controller.to_owned())
            .collect(),
    })
}

/// Whether a capability is in the bounding set of `/proc/PID/status`.
fn has_capability(status: &str, bit: u32) -> Option<bool> {
    let set = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
    let set = u64::from_str_radix(set.trim(), 16).ok()?;
    Some(set >> bit & 1 == 1)
}

/// The enabled controllers of `/proc/cgroups`: name, hierarchy, number of groups, enabled.
fn controllers(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.starts_with('#') && line.trim_end().ends_with('1'))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::withheld("Name:\tx\nCapBnd:\t000001fffeffffff\n", Some(false))]
    #[case::there("CapBnd:\t000001ffffffffff\n", Some(true))]
    #[case::absent("Name:\tx\n", None)]
    fn capabilities_are_bits(#[case] status: &str, #[case] has: Option<bool>) {
        assert_eq!(has_capability(status, SYS_RESOURCE), has);
    }

    #[test]
    fn disabled_controllers_do_not_count() {
        let text = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t1\t1\nmemory\t0\t22\t0\n";
        assert_eq!(controllers(text), ["cpu"]);
    }

    #[test]
    fn the_engine_tells_of_itself() {
        let info = json!({
            "ServerVersion": "20.10.24", "Driver": "overlay2", "DockerRootDir": "/var/lib/docker",
            "DefaultRuntime": "runc", "SecurityOptions": ["name=seccomp", "name=rootless"],
            "CgroupVersion": "1", "CPUShares": true, "CPUSet": false, "MemoryLimit": true,
        });
        let facts = engine_facts(&info).unwrap();
        assert_eq!((facts.version.as_str(), facts.rootless), ("20.10.24", true));
        assert_eq!(facts.cgroups, Some(Cgroups::V1));
        assert_eq!(facts.controllers, ["cpu", "memory"]);
    }

    #[test]
    fn a_client_that_succeeds_without_an_engine_is_not_believed() {
        let info = json!({"ServerVersion": "", "ServerErrors": ["Cannot connect to the Docker daemon"]});
        let error = engine_facts(&info).unwrap_err();
        assert!(error.to_string().starts_with("Cannot connect"), "{error}");
    }
}
