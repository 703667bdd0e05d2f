//! The local target: real server binaries as child processes on loopback.
//!
//! Whatever happens to the run, the servers end with it: dropping the stack kills them, and the
//! kernel kills them when the harness is killed. What a killed run leaves on disk is swept by the
//! next one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use indexmap::IndexMap;

pub use super::folder::{Owner, sweep};

use super::failure::Failure;
use super::folder::RunFolder;
use super::needs::ALWAYS;
use super::outfit;
use super::process::{Obituary, Process};
use super::server::{Place, Server};
use super::shared::{Seen, Start};
use super::workshop::{
    ALERTMANAGER_ENDPOINT, Grounds, LocalWorkshop, PORT_TRIES, PROMETHEUS_ENDPOINT, address, free_address,
};
use super::{TargetError, UpRequest};
use crate::catalog::Acquisition;
use crate::component::alertmanager::Alertmanager;
use crate::component::prometheus::Prometheus;
use crate::component::receiver::ReceiverServer;
use crate::emit::player::Players;
use crate::mutant::Edit;
use crate::progress::Progress;
use crate::render::{Addresses, Endpoint, RenderError};
use crate::shapes::Shapes;
use crate::stack::{Capability, ComponentInfo, Missing, PrometheusClone, RuleSet, Scrapes, Stack, Workshop};
use crate::units::format_duration;

/// What executables bring, by component.
const BRINGS: [(&str, &[(&str, Capability)]); 7] = [
    (
        "prometheus",
        &[
            ("prometheus", Capability::Prometheus),
            ("promtool", Capability::Promtool),
        ],
    ),
    (
        "alertmanager",
        &[
            ("alertmanager", Capability::Alertmanager),
            ("amtool", Capability::Amtool),
        ],
    ),
    ("elasticsearch", &[("elasticsearch", Capability::Elasticsearch)]),
    (
        "jaeger",
        &[
            ("jaeger", Capability::Jaeger),
            ("jaeger", Capability::JaegerClone),
            ("es-index-cleaner", Capability::IndexCleaner),
        ],
    ),
    ("otel-collector", &[(outfit::COLLECTOR, Capability::Collector)]),
    ("loki", &[("loki", Capability::Loki)]),
    ("libfaketime", &[(outfit::CLOCK, Capability::ClockShift)]),
];

/// What is known of a component only once it runs, lacking where it cannot be had.
const SEEN: [(&str, &[Capability]); 2] = [
    (
        "elasticsearch",
        &[
            Capability::Tiers,
            Capability::Lifecycle,
            Capability::SnapshotRepository,
            Capability::SnapshotLifecycle,
        ],
    ),
    ("jaeger", &[Capability::JaegerAdaptive]),
];

/// A running local stack. Taking it down (or dropping it) ends every process and removes its folder.
#[derive(Debug)]
pub struct LocalStack {
    // The order is the order of the end: servers first, the folder they write to last.
    processes: Vec<(String, Process)>,
    players: Players,
    _receiver: ReceiverServer,
    grounds: Arc<Grounds>,
    stack: Stack,
    prometheus_data: PathBuf,
    folder: RunFolder,
}

/// The shared servers, ready.
struct Servers {
    prometheus: (Process, Prometheus),
    alertmanager: (Process, Alertmanager),
    prometheus_data: PathBuf,
    addresses: Addresses,
}

impl LocalStack {
    /// Renders, starts and waits until every server is ready.
    pub async fn up(request: UpRequest) -> Result<Self, TargetError> {
        let cancel = request.cancel.clone();
        let up = tokio::select! {
            () = cancel.cancelled() => Err(Failure::Interrupted),
            up = Box::pin(Self::bring_up(request)) => up,
        };
        Ok(up?)
    }

    async fn bring_up(request: UpRequest) -> Result<Self, Failure> {
        let UpRequest {
            tree,
            shapes,
            acquired,
            images,
            needs,
            drifts,
            seed,
            folder,
            artifacts,
            cancel,
            progress,
        } = request;
        let executables = executables(&acquired)?;
        let folder = RunFolder::create(&folder)
            .map_err(|error| Failure::file(&error, "making the run's folder", &folder))?;
        let artifacts = artifacts_folder(&artifacts)?;
        let players = async {
            let players = Players::start(&shapes, seed).await?;
            progress.done("players", format!("{} endpoints", players.endpoints().len()));
            Ok(players)
        };
        let (players, receiver) =
            tokio::try_join!(players, ReceiverServer::start()).map_err(|error: std::io::Error| {
                Failure::Environment(format!(
                    "{error}: the players or the receiver cannot listen on loopback"
                ))
            })?;
        let receiver_client = receiver.client()?;
        let grounds = Grounds::new(
            tree,
            shapes,
            executables,
            drifts,
            folder.path().to_owned(),
            cancel,
        );
        let grounds = Arc::new(grounds.in_images(images, &artifacts));
        let played = Addresses {
            endpoints: played(players.endpoints()),
            receiver: Some(receiver_client.base().clone()),
        };
        let begin = Instant::now();
        let start = Start {
            grounds: &grounds,
            needs: &needs,
            artifacts: &artifacts,
            progress: &progress,
            begin,
        };
        let (servers, shared) = tokio::try_join!(
            start_servers(&grounds, &played, &artifacts, &progress),
            start.all()
        )?;
        let up = begin.elapsed();
        let Servers {
            prometheus: (prometheus, prometheus_client),
            alertmanager: (alertmanager, alertmanager_client),
            prometheus_data,
            addresses,
        } = servers;
        let (prometheus_version, alertmanager_version) =
            tokio::try_join!(prometheus_client.version(), alertmanager_client.version())?;
        let mut seen = shared.seen;
        for (component, version) in [
            ("prometheus", prometheus_version),
            ("alertmanager", alertmanager_version),
        ] {
            seen.entry(component.to_owned()).or_default().version = Some(version);
        }
        let components = components(&acquired, &seen);
        let workshop = LocalWorkshop::new(Arc::clone(&grounds), addresses, artifacts, None);
        let stack = Stack {
            prometheus: prometheus_client,
            alertmanager: alertmanager_client,
            receiver: receiver_client,
            elasticsearch: shared.elasticsearch,
            jaeger: shared.jaeger,
            jaeger_adaptive: shared.jaeger_adaptive,
            collector: shared.collector,
            loki: shared.loki,
            cluster: None,
            missing: components
                .iter()
                .flat_map(|c| c.missing.clone())
                .chain([no_cluster()])
                .collect(),
            components,
            patience: 1,
            spared: false,
            changed_values: workshop.changed_values(),
            up,
            workshop: Arc::new(workshop),
        };
        let mut processes = vec![
            ("prometheus".to_owned(), prometheus),
            ("alertmanager".to_owned(), alertmanager),
        ];
        processes.extend(shared.processes);
        Ok(Self {
            processes,
            players,
            _receiver: receiver,
            grounds,
            stack,
            prometheus_data,
            folder,
        })
    }

    /// The stack as cases see it.
    #[must_use]
    pub fn stack(&self) -> Stack {
        self.stack.clone()
    }

    /// What the watched services are played as.
    #[must_use]
    pub fn shapes(&self) -> Arc<Shapes> {
        Arc::clone(&self.grounds.shapes)
    }

    /// Why the shared servers cannot be relied on any more, none while they run: one has ended, or
    /// has no room on its disk.
    #[must_use]
    pub fn died(&self) -> Option<String> {
        self.processes.iter().find_map(|(_, process)| trouble(process))
    }

    /// Waits until a shared server has ended by itself, and says why.
    pub async fn death(&self) -> String {
        let deaths = self.processes.iter().map(|(_, process)| Box::pin(process.died()));
        let (obituary, ..) = futures::future::select_all(deaths).await;
        ended(&obituary)
    }

    /// Drifts that found nothing to change on any server so far, clones included. A mutant whose
    /// drift is among them after its case changed nothing.
    #[must_use]
    pub fn missed_drifts(&self) -> Vec<Edit> {
        self.grounds.missed_drifts()
    }

    /// Ends every process and removes the folder.
    pub async fn down(self) {
        // What the servers still hold in memory goes with their data, so they need no orderly end.
        futures::future::join_all(self.processes.iter().map(|(_, process)| process.kill())).await;
    }

    /// Addresses of the players, by `namespace/service/port name`.
    pub(super) fn played(&self) -> &IndexMap<String, Vec<SocketAddr>> {
        self.players.endpoints()
    }

    /// The run's folder.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Data folder of the shared Prometheus.
    pub(super) fn prometheus_data(&self) -> &Path {
        &self.prometheus_data
    }

    /// The shared servers' processes: name, process and log.
    pub(super) fn servers(&self) -> Vec<(String, Option<Owner>, PathBuf)> {
        self.processes
            .iter()
            .map(|(name, process)| (name.clone(), Owner::of(process.id()), process.log().to_owned()))
            .collect()
    }

    /// The executables by name.
    pub(super) fn executables(&self) -> &IndexMap<String, PathBuf> {
        &self.grounds.executables
    }
}

fn trouble(process: &Process) -> Option<String> {
    if let Some(end) = process.end() {
        return Some(ended(&process.obituary(end)));
    }
    process.words().contains("no space left on device").then(|| {
        format!(
            "no space left on device, says {}; make room on the file system of the run's folder",
            process.log().display()
        )
    })
}

/// The end of a shared server as a reason: its cause first.
fn ended(obituary: &Obituary) -> String {
    format!("{obituary}; it ended while cases relied on it")
}

/// The endpoints that the harness plays.
pub(super) fn played(players: &IndexMap<String, Vec<SocketAddr>>) -> IndexMap<String, Vec<Endpoint>> {
    let endpoint = |address: &SocketAddr| Endpoint {
        address: *address,
        played: true,
    };
    players
        .iter()
        .map(|(name, addresses)| (name.clone(), addresses.iter().map(endpoint).collect()))
        .collect()
}

/// Adds the shared servers' endpoints to those that are played.
pub(super) fn with_servers(
    played: &Addresses,
    prometheus: SocketAddr,
    alertmanager: SocketAddr,
) -> Addresses {
    let mut addresses = played.clone();
    for (name, address) in [
        (PROMETHEUS_ENDPOINT, prometheus),
        (ALERTMANAGER_ENDPOINT, alertmanager),
    ] {
        let endpoint = Endpoint {
            address,
            played: false,
        };
        addresses.endpoints.insert(name.to_owned(), vec![endpoint]);
    }
    addresses
}

/// The folder for artifacts, made, as a path that does not depend on where the harness runs.
pub(super) fn artifacts_folder(path: &Path) -> Result<PathBuf, Failure> {
    std::fs::create_dir_all(path)
        .and_then(|()| path.canonicalize())
        .map_err(|error| Failure::file(&error, "making the artifacts' folder", path))
}

/// Starts both servers side by side; again on other ports when someone else takes one in between.
async fn start_servers(
    grounds: &Grounds,
    played: &Addresses,
    artifacts: &Path,
    progress: &Progress,
) -> Result<Servers, Failure> {
    let mut tries = 1;
    loop {
        match try_servers(grounds, played, artifacts, progress).await {
            Err(Failure::PortTaken(why)) if tries < PORT_TRIES => {
                progress.step("stack", format!("other ports, because {why}"));
                tries += 1;
            }
            servers => return servers,
        }
    }
}

async fn try_servers(
    grounds: &Grounds,
    played: &Addresses,
    artifacts: &Path,
    progress: &Progress,
) -> Result<Servers, Failure> {
    let prometheus_listen = free_address()?;
    let alertmanager_listen = free_address()?;
    let addresses = with_servers(played, prometheus_listen, alertmanager_listen);
    let place = |executable: &str| {
        let executable = executable.to_owned();
        move |program, listen| Place {
            program,
            folder: grounds.folder.join(&executable),
            artifacts: artifacts.join(&executable),
            executable,
            listen,
        }
    };
    let receiver = match &played.receiver {
        Some(receiver) => receiver.clone(),
        None => {
            return Err(Failure::Environment(
                "the stack has no webhook receiver".to_owned(),
            ));
        }
    };
    let (alertmanager, alertmanager_client) =
        grounds.alertmanager(place("alertmanager"), alertmanager_listen, &receiver, 1)?;
    let declared = PrometheusClone {
        scrapes: Scrapes::Declared,
        rules: RuleSet::Declared,
        alertmanagers: vec![address(alertmanager_listen)?],
        ..PrometheusClone::named("prometheus")
    };
    let (prometheus, prometheus_client) =
        grounds.prometheus(place("prometheus"), prometheus_listen, &addresses, &declared)?;
    check_drifts(grounds)?;

    let begin = Instant::now();
    let (prometheus_process, alertmanager_process) = tokio::try_join!(
        start(
            &prometheus,
            &prometheus_client,
            prometheus_listen,
            begin,
            grounds,
            progress
        ),
        start(
            &alertmanager,
            &alertmanager_client,
            alertmanager_listen,
            begin,
            grounds,
            progress
        ),
    )?;
    Ok(Servers {
        prometheus: (prometheus_process, prometheus_client),
        alertmanager: (alertmanager_process, alertmanager_client),
        prometheus_data: prometheus.data().to_owned(),
        addresses,
    })
}

async fn start(
    server: &Server,
    client: &impl super::server::Ready,
    listen: SocketAddr,
    begin: Instant,
    grounds: &Grounds,
    progress: &Progress,
) -> Result<Process, Failure> {
    let name = server.name();
    progress.step(name, format!("starting on {listen}"));
    let process = server.start(client, &grounds.cancel).await?;
    progress.done(name, format!("ready after {}", format_duration(begin.elapsed())));
    Ok(process)
}

/// A drifted argument that changes nothing on the shared servers is an error. A drifted text may still
/// be found in a clone's file; whoever drifts asks for the missed ones at the end.
fn check_drifts(grounds: &Grounds) -> Result<(), Failure> {
    for missed in grounds.missed_drifts() {
        if let Edit::Argument {
            executable: object,
            flag: place,
            ..
        } = missed
            && ALWAYS.contains(&object.as_str())
        {
            return Err(RenderError::DriftMissed { object, place }.into());
        }
    }
    Ok(())
}

/// The executables by name; an error where a component that every stack has cannot be had.
pub(super) fn executables(acquired: &Acquisition) -> Result<IndexMap<String, PathBuf>, Failure> {
    for component in ALWAYS {
        match acquired.get(component) {
            Some(Ok(_)) => {}
            Some(Err(unavailable)) => {
                return Err(Failure::Environment(format!(
                    "{}: {component} cannot be had; {}",
                    unavailable.reason, unavailable.remedy
                )));
            }
            None => {
                return Err(Failure::Environment(format!(
                    "{component} was not acquired; the local target needs it"
                )));
            }
        }
    }
    Ok(acquired
        .values()
        .flatten()
        .flat_map(|one| one.executables.clone())
        .collect())
}

/// What no stack of processes has.
fn no_cluster() -> Missing {
    Missing {
        capability: Capability::Cluster,
        reason: "servers run as processes here; --target kind has a cluster".to_owned(),
    }
}

/// The components for the report: what was acquired, with what was seen of the running servers.
pub(super) fn components(acquired: &Acquisition, seen: &IndexMap<String, Seen>) -> Vec<ComponentInfo> {
    let store = acquired.get("elasticsearch").map(Result::as_ref);
    acquired
        .iter()
        .map(|(name, acquired)| {
            let info = component(name, acquired.as_ref(), seen.get(name));
            match store {
                Some(Err(gone)) => without_elasticsearch(info, gone),
                _ => info,
            }
        })
        .collect()
}

/// Jaeger stores its spans in Elasticsearch, and only Elasticsearch's clock can be shifted: what rests on
/// it goes with it.
fn without_elasticsearch(mut info: ComponentInfo, gone: &crate::catalog::Unavailable) -> ComponentInfo {
    let rests = [
        Capability::Jaeger,
        Capability::JaegerAdaptive,
        Capability::ClockShift,
    ];
    let (gone_too, left): (Vec<_>, Vec<_>) = info
        .capabilities
        .into_iter()
        .partition(|capability| rests.contains(capability));
    info.capabilities = left;
    info.missing
        .extend(gone_too.into_iter().map(|capability| Missing {
            capability,
            reason: format!(
                "{}: there is no elasticsearch for it; {}",
                gone.reason, gone.remedy
            ),
        }));
    info
}

fn component(
    name: &str,
    acquired: Result<&crate::catalog::Acquired, &crate::catalog::Unavailable>,
    seen: Option<&Seen>,
) -> ComponentInfo {
    let brings = BRINGS
        .iter()
        .filter(|(component, _)| *component == name)
        .flat_map(|(_, brings)| brings.iter().copied());
    let mut info = ComponentInfo {
        name: name.to_owned(),
        version: String::new(),
        origin: String::new(),
        capabilities: Vec::new(),
        missing: Vec::new(),
        stand_ins: Vec::new(),
    };
    match acquired {
        Ok(acquired) => {
            let seen = seen.cloned().unwrap_or_default();
            info.version = seen.version.unwrap_or_else(|| acquired.version.clone());
            info.origin.clone_from(&acquired.origin);
            for (executable, capability) in brings {
                if acquired.executables.contains_key(executable) {
                    info.capabilities.push(capability);
                } else {
                    info.missing.push(Missing {
                        capability,
                        reason: format!("{name} ({}) comes without `{executable}`", acquired.origin),
                    });
                }
            }
            info.capabilities.extend(seen.capabilities);
            info.missing.extend(seen.missing);
            info.stand_ins = seen.stand_ins;
        }
        // The system's own library serves as well as an acquired one.
        Err(_) if name == "libfaketime" && super::clock::system_library().is_some() => {
            "the system's".clone_into(&mut info.origin);
            info.capabilities.push(Capability::ClockShift);
        }
        Err(unavailable) => {
            let lacking = SEEN
                .iter()
                .filter(|(component, _)| *component == name)
                .flat_map(|(_, capabilities)| capabilities.iter().copied());
            info.missing.extend(
                brings
                    .map(|(_, capability)| capability)
                    .chain(lacking)
                    .map(|capability| Missing {
                        capability,
                        reason: format!("{}; {}", unavailable.reason, unavailable.remedy),
                    }),
            );
        }
    }
    info
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Acquired, Unavailable};

    fn acquired(component: &str, executables: &[&str]) -> Acquired {
        Acquired {
            component: component.into(),
            version: "3.16.0".into(),
            origin: "cache".into(),
            made: false,
            executables: executables
                .iter()
                .map(|name| ((*name).to_owned(), PathBuf::from(name)))
                .collect(),
        }
    }

    #[test]
    fn a_component_that_cannot_be_had_is_an_environment_failure_with_its_remedy() {
        let unavailable = Unavailable {
            component: "alertmanager".into(),
            reason: "no Go toolchain".into(),
            remedy: "install Go 1.26".into(),
        };
        let acquisition = Acquisition::from([
            (
                "prometheus".to_owned(),
                Ok(acquired("prometheus", &["prometheus", "promtool"])),
            ),
            ("alertmanager".to_owned(), Err(unavailable)),
        ]);
        assert_eq!(
            executables(&acquisition),
            Err(Failure::Environment(
                "no Go toolchain: alertmanager cannot be had; install Go 1.26".into()
            ))
        );
    }

    #[test]
    fn a_tool_that_is_not_there_is_missing_with_the_reason() {
        let acquisition = Acquisition::from([
            (
                "prometheus".to_owned(),
                Ok(acquired("prometheus", &["prometheus"])),
            ),
            (
                "alertmanager".to_owned(),
                Ok(acquired("alertmanager", &["alertmanager", "amtool"])),
            ),
        ]);
        let seen = Seen {
            version: Some("3.16.1".to_owned()),
            ..Seen::default()
        };
        let components = components(&acquisition, &IndexMap::from([("prometheus".to_owned(), seen)]));
        assert_eq!(components[0].version, "3.16.1");
        assert_eq!(components[0].capabilities, [Capability::Prometheus]);
        assert_eq!(
            components[0].missing,
            [Missing {
                capability: Capability::Promtool,
                reason: "prometheus (cache) comes without `promtool`".into()
            }]
        );
        assert_eq!(
            components[1].capabilities,
            [Capability::Alertmanager, Capability::Amtool]
        );
        assert!(components[1].missing.is_empty());
    }

    #[test]
    fn what_rests_on_elasticsearch_goes_with_it() {
        let unavailable = Unavailable {
            component: "elasticsearch".into(),
            reason: "no Java".into(),
            remedy: "install Java 17".into(),
        };
        let acquisition = Acquisition::from([
            ("elasticsearch".to_owned(), Err(unavailable)),
            (
                "jaeger".to_owned(),
                Ok(acquired("jaeger", &["jaeger", "es-index-cleaner"])),
            ),
        ]);
        let components = components(&acquisition, &IndexMap::new());
        let lacking: Vec<Capability> = components
            .iter()
            .flat_map(|component| component.missing.iter().map(|missing| missing.capability))
            .collect();
        assert!(lacking.contains(&Capability::Lifecycle) && lacking.contains(&Capability::Jaeger));
        assert_eq!(
            components[1].capabilities,
            [Capability::JaegerClone, Capability::IndexCleaner]
        );
        assert!(components[1].missing[0].reason.starts_with("no Java: "));
    }

    #[test]
    fn the_shared_servers_are_endpoints_that_are_not_played() {
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let players = IndexMap::from([("apps/ml-service/http-metrics".to_owned(), vec![address])]);
        let addresses = with_servers(
            &Addresses {
                endpoints: played(&players),
                receiver: None,
            },
            "127.0.0.1:2".parse().unwrap(),
            "127.0.0.1:3".parse().unwrap(),
        );
        let played: Vec<bool> = addresses
            .endpoints
            .values()
            .flatten()
            .map(|endpoint| endpoint.played)
            .collect();
        assert_eq!(played, [true, false, false]);
    }
}
