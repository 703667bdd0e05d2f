//! Clones of declared servers where the stack runs in a cluster.
//!
//! A Prometheus with a history of its own is a copy of the cluster's object in a namespace of its own, which a copy of
//! the cluster's operator makes a server of (the stack's own watches the stack's namespace alone): what it keeps and for
//! how long is what the cluster would keep. Its volume is a folder of the run, which the node has at the same path. It
//! is asked by port-forward. Everything else, and a Prometheus that needs something on loopback or scrapes, is a process
//! of this machine, as on the local target.

mod objects;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use self::objects::{CLONE, NAME, OPERATOR, Operator, Place, fits, objects};
use super::apply;
use super::clients::answers;
use super::engine::Engine;
use super::reach::{ADDED, NAMESPACE};
use crate::component::cluster::{Cluster, ClusterError, Controller, Kind, Workload};
use crate::component::prometheus::Prometheus;
use crate::mutant::Edit;
use crate::stack::{
    AlertmanagerClone, AlertmanagerInstance, ChangedValue, CollectorClone, ElasticsearchClone, JaegerClone,
    LokiClone, PrometheusClone, PrometheusInstance, RuleSet, Running, ToolOutput, Workshop, WorkshopError,
};
use crate::target::existing::forward::{Forward, Target};
use crate::target::failure::Failure;
use crate::target::workshop::{Data, Grounds, LocalWorkshop, address, move_folder};
use crate::wait::Look;

/// How long a clone may take from its objects to its first answer; 15 s where nothing else happens.
const READY: Duration = Duration::from_mins(3);
/// How long its pod may take to end in an orderly way.
const ENDED: Duration = Duration::from_mins(1);
/// How many of its last lines are kept.
const LINES: u32 = 2_000;

/// What is waited for to answer.
const SUBJECT: &str = "the clone of prometheus behind its port-forward";

/// The part of a volume that the operator gives a server (prometheus-operator v0.85, `SubPathForStorage`).
pub(super) const DATABASE: &str = "prometheus-db";

/// The workshop of a stack in a cluster, or of one of its cases.
#[derive(Debug, Clone)]
pub(super) struct KindWorkshop {
    local: LocalWorkshop,
    here: Arc<Here>,
}

/// The cluster.
#[derive(Debug)]
pub(super) struct Here {
    pub(super) cluster: Cluster,
    pub(super) engine: Engine,
    /// The node's container.
    pub(super) node: String,
    pub(super) grounds: Arc<Grounds>,
}

impl KindWorkshop {
    pub(super) fn new(local: LocalWorkshop, here: Here) -> Self {
        Self {
            local,
            here: Arc::new(here),
        }
    }

    async fn start_prometheus(&self, mut clone: PrometheusClone) -> Result<InCluster, Failure> {
        let (folder, artifacts) = self.local.place_of(&clone.name);
        let volume = folder.join("volume");
        let data = volume.join(DATABASE);
        let kept = |error: &io::Error| Failure::file(error, "preparing the clone's volume", &volume);
        fs::create_dir_all(&volume)
            .and_then(|()| fs::create_dir_all(&artifacts))
            .map_err(|error| kept(&error))?;
        match clone.data.take() {
            Some(prepared) => move_folder(&prepared, &data),
            None => fs::create_dir_all(&data),
        }
        // The server's user is the tree's, and is not ours.
        .and_then(|()| open_to_all(&volume))
        .map_err(|error| kept(&error))?;

        let namespace = namespace(&folder);
        let declared = self
            .here
            .cluster
            .need(Kind::PROMETHEUS, NAMESPACE, "prometheus")
            .await?;
        let rules = match &clone.rules {
            RuleSet::Nothing => Vec::new(),
            RuleSet::Declared => self.here.cluster.list(RULE, NAMESPACE, "").await?,
            RuleSet::Own(files) => own_rules(files)?,
        };
        let operator = Operator {
            deployment: self
                .here
                .cluster
                .need(Kind::DEPLOYMENT, NAMESPACE, OPERATOR)
                .await?,
            role: self.here.cluster.need(ROLE, NAMESPACE, OPERATOR).await?,
        };
        let place = Place {
            namespace: &namespace,
            volume: &volume,
            added: ADDED,
        };
        let objects = objects(&declared, &operator, &clone, &rules, &place);
        let text = serde_json::to_vec_pretty(&objects).unwrap_or_default();
        let file = artifacts.join("objects.json");
        fs::write(&file, text).map_err(|error| Failure::file(&error, "writing", &file))?;
        self.here.grounds.note(&changed(&clone, &namespace, &volume));

        let remains = Remains {
            here: Arc::clone(&self.here),
            namespace: namespace.clone(),
            log: artifacts.join("prometheus.log"),
        };
        apply::put(self.here.cluster.client(), objects)
            .await
            .map_err(|error| Failure::Environment(error.to_string()))?;
        let workload = Workload {
            controller: Controller::StatefulSet,
            namespace: namespace.clone(),
            name: format!("prometheus-{NAME}"),
        };
        ready(&self.here.cluster, &workload).await?;
        let selector = json!({"app.kubernetes.io/name": "prometheus", "prometheus": NAME});
        let forward = Forward::start(
            self.here.cluster.client().clone(),
            Target::new(&namespace, &selector, &json!("web")),
        )
        .await
        .map_err(|error| Failure::Environment(error.to_string()))?
        .ok_or_else(|| Failure::Environment(format!("{workload} is ready, and none of its pods is")))?;
        let client = Prometheus::new(address(forward.address())?)?;
        self.here.grounds.keeps_data(&client, Data::Here(data.clone()));
        answers(SUBJECT, Some(&client)).await?;
        Ok(InCluster {
            client,
            data,
            workload,
            killed: false,
            remains,
            _forward: forward,
        })
    }
}

/// A namespace of a clone's own.
fn namespace(folder: &Path) -> String {
    let hash = Sha256::digest(folder.as_os_str().as_encoded_bytes());
    format!("conform-{}", hex::encode(&hash[..6]))
}

/// Lets everybody read and write below a folder.
fn open_to_all(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_to_all(&entry.path())?;
        } else {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o666))?;
        }
    }
    Ok(())
}

/// Rule files of a case's own as objects, as far as a clone takes them over.
fn own_rules(files: &[(String, String)]) -> Result<Vec<Value>, Failure> {
    files
        .iter()
        .map(|(name, text)| {
            let groups: Value = serde_saphyr::from_str(text).map_err(|error| {
                Failure::Environment(format!("{name} as rendered does not parse: {error}"))
            })?;
            Ok(json!({"spec": groups}))
        })
        .collect()
}

fn changed(clone: &PrometheusClone, namespace: &str, volume: &Path) -> Vec<ChangedValue> {
    let mut changed = vec![ChangedValue {
        object: "Prometheus/prometheus".to_owned(),
        field: "spec.storage".to_owned(),
        from: "a claim".to_owned(),
        to: format!("{} in {namespace}", volume.display()),
        why: "a clone has a history of its case's own".to_owned(),
    }];
    changed.extend(clone.arguments.iter().map(|(flag, value, why)| ChangedValue {
        object: "Prometheus/prometheus".to_owned(),
        field: flag.clone(),
        from: "as declared".to_owned(),
        to: value.clone().unwrap_or_default(),
        why: why.clone(),
    }));
    changed
}

/// Waits until the clone's pod is ready; a server that refuses what it is given says so.
async fn ready(cluster: &Cluster, workload: &Workload) -> Result<(), Failure> {
    let refused = std::sync::Mutex::new(None);
    let waited = cluster
        .until(&format!("{workload} ready"), READY, || async {
            // The operator makes it.
            let Some(object) = cluster
                .get(Kind::STATEFUL_SET, &workload.namespace, &workload.name)
                .await?
            else {
                return Ok(Look::Missing("the operator has not made it yet".to_owned()));
            };
            let ready = object.pointer("/status/readyReplicas").and_then(Value::as_u64);
            if ready == Some(1) {
                return Ok(Look::Ready(()));
            }
            for pod in cluster.list(Kind::POD, &workload.namespace, "").await? {
                if let Some(why) = ended(cluster, &pod).await? {
                    let mut refused = refused.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    *refused = Some(why);
                    return Ok(Look::Hopeless("its server ends".to_owned()));
                }
            }
            Ok(Look::Missing("its pod is not ready".to_owned()))
        })
        .await;
    let refused = refused
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    match (waited, refused) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(why)) => Err(Failure::Refused(why)),
        (Err(error), None) => Err(error.into()),
    }
}

/// What a server that ended by itself said last; none while it runs or was not started.
async fn ended(cluster: &Cluster, pod: &Value) -> Result<Option<String>, ClusterError> {
    let Some(container) = pod
        .pointer("/status/containerStatuses")
        .and_then(Value::as_array)
        .and_then(|all| all.iter().find(|one| one["name"] == "prometheus"))
    else {
        return Ok(None);
    };
    let code = ["/state/terminated/exitCode", "/lastState/terminated/exitCode"]
        .iter()
        .find_map(|place| container.pointer(place).and_then(Value::as_i64));
    // 137 and 143 are ends by a signal: nothing that it said.
    let Some(code) = code.filter(|code| !matches!(code, 0 | 137 | 143)) else {
        return Ok(None);
    };
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let log = cluster.log(namespace, name, "prometheus", LINES).await?;
    let said = log
        .lines()
        .rev()
        .find(|line| line.contains("\"level\":\"ERROR\"") || line.contains("level=ERROR"))
        .or_else(|| log.lines().next_back())
        .unwrap_or("it says nothing");
    Ok(Some(format!("prometheus: {said} (exited with code {code})")))
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        Self::Environment(error.to_string())
    }
}

/// A clone of Prometheus in the cluster.
struct InCluster {
    client: Prometheus,
    data: PathBuf,
    workload: Workload,
    /// Whether it was killed, after which its pod starts it again by itself.
    killed: bool,
    remains: Remains,
    _forward: Forward,
}

impl InCluster {
    fn cluster(&self) -> &Cluster {
        &self.remains.here.cluster
    }

    async fn replicas(&self, number: u32) -> Result<(), WorkshopError> {
        let change = json!({"spec": {"replicas": number}});
        self.cluster()
            .patch(Kind::PROMETHEUS, &self.workload.namespace, NAME, &change)
            .await
            .map(drop)
            .map_err(|error| WorkshopError::Environment(error.to_string()))
    }

    /// How often the pod has started its server again.
    async fn restarts(&self) -> Result<u64, ClusterError> {
        let pods = self
            .cluster()
            .list(Kind::POD, &self.workload.namespace, "")
            .await?;
        Ok(pods
            .iter()
            .filter_map(|pod| pod.pointer("/status/containerStatuses")?.as_array())
            .flatten()
            .filter(|container| container["name"] == "prometheus")
            .filter_map(|container| container["restartCount"].as_u64())
            .sum())
    }
}

impl PrometheusInstance for InCluster {
    fn client(&self) -> &Prometheus {
        &self.client
    }

    fn data(&self) -> PathBuf {
        self.data.clone()
    }

    fn stop(&mut self) -> BoxFuture<'_, Result<(), WorkshopError>> {
        async move {
            self.remains.keep_log().await;
            self.replicas(0).await?;
            let namespace = &self.workload.namespace;
            self.cluster()
                .until(&format!("{} without a pod", self.workload), ENDED, || async {
                    let pods = self.cluster().list(Kind::POD, namespace, "").await?;
                    Ok(match pods.len() {
                        0 => Look::Ready(()),
                        _ => Look::Missing("its pod has not ended".to_owned()),
                    })
                })
                .await
                .map_err(|error| WorkshopError::Environment(error.to_string()))
        }
        .boxed()
    }

    fn kill(&mut self) -> BoxFuture<'_, Result<(), WorkshopError>> {
        async move {
            let environment = |error: &dyn std::fmt::Display| WorkshopError::Environment(error.to_string());
            self.remains.keep_log().await;
            let before = self.restarts().await.map_err(|error| environment(&error))?;
            // SIGKILL to the server itself: deleting its pod without grace still gives it a SIGTERM and two
            // seconds (Kubernetes 1.37, pkg/kubelet/kuberuntime, minimumGracePeriodInSeconds).
            let script = format!(
                "kill -9 $(crictl inspect --output go-template --template '{{{{.info.pid}}}}' \
                 $(crictl ps --quiet --label io.kubernetes.pod.namespace={} --name '^prometheus$'))",
                self.workload.namespace
            );
            let here = &self.remains.here;
            here.engine
                .ask(&["exec", &here.node, "sh", "-c", &script])
                .await
                .map_err(|error| environment(&error))?;
            self.killed = true;
            self.cluster()
                .until("the killed server started again by its pod", ENDED, || async {
                    Ok(match self.restarts().await? {
                        now if now > before => Look::Ready(()),
                        _ => Look::Missing("the pod has not seen its end".to_owned()),
                    })
                })
                .await
                .map_err(|error| environment(&error))
        }
        .boxed()
    }

    fn start(&mut self) -> BoxFuture<'_, Result<(), WorkshopError>> {
        async move {
            if !std::mem::take(&mut self.killed) {
                self.replicas(1).await?;
            }
            ready(self.cluster(), &self.workload).await?;
            Ok(answers(SUBJECT, Some(&self.client)).await?)
        }
        .boxed()
    }
}

/// What a clone has in the cluster; dropping it has it removed.
struct Remains {
    here: Arc<Here>,
    namespace: String,
    /// Where its log is kept.
    log: PathBuf,
}

impl Remains {
    /// Keeps what the server has logged since it was last asked.
    async fn keep_log(&self) {
        keep_log(&self.here.cluster, &self.namespace, &self.log).await;
    }
}

async fn keep_log(cluster: &Cluster, namespace: &str, file: &Path) {
    let pod = format!("prometheus-{NAME}-0");
    // A log that cannot be had is no reason to fail what was shown.
    if let Ok(text) = cluster.log(namespace, &pod, "prometheus", LINES).await {
        let _ = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .and_then(|mut open| io::Write::write_all(&mut open, text.as_bytes()));
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        let (here, namespace, log) = (Arc::clone(&self.here), self.namespace.clone(), self.log.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                keep_log(&here.cluster, &namespace, &log).await;
                // What is left is removed with the stack.
                let _ = remove(&here.cluster, &namespace).await;
            });
        }
    }
}

const RULE: Kind = Kind {
    group: "monitoring.coreos.com",
    version: "v1",
    kind: "PrometheusRule",
    plural: "prometheusrules",
};

const ROLE: Kind = Kind {
    group: "rbac.authorization.k8s.io",
    version: "v1",
    kind: "Role",
    plural: "roles",
};

/// The cluster-wide objects of a clone, and its namespace.
const OBJECTS: [Kind; 3] = [
    Kind::NAMESPACE,
    Kind {
        group: "",
        version: "v1",
        kind: "PersistentVolume",
        plural: "persistentvolumes",
    },
    Kind {
        group: "rbac.authorization.k8s.io",
        version: "v1",
        kind: "ClusterRoleBinding",
        plural: "clusterrolebindings",
    },
];

async fn remove(cluster: &Cluster, name: &str) -> Result<(), ClusterError> {
    for kind in OBJECTS {
        cluster.delete(kind, "", name).await?;
    }
    cluster.delete(OBJECTS[2], "", &objects::operators(name)).await?;
    Ok(())
}

/// Removes what clones of this or an earlier run have left.
pub(super) async fn sweep(cluster: &Cluster) -> Result<(), ClusterError> {
    let ours = format!("{ADDED}={CLONE}");
    for kind in OBJECTS {
        for object in cluster.list(kind, "", &ours).await? {
            if let Some(name) = object.pointer("/metadata/name").and_then(Value::as_str) {
                cluster.delete(kind, "", name).await?;
            }
        }
    }
    Ok(())
}

impl Workshop for KindWorkshop {
    fn for_case(&self, case: &str, artifacts: &Path) -> Arc<dyn Workshop> {
        Arc::new(Self {
            local: self.local.of_case(case, artifacts),
            here: Arc::clone(&self.here),
        })
    }

    fn prometheus(
        &self,
        clone: PrometheusClone,
    ) -> BoxFuture<'_, Result<Box<dyn PrometheusInstance>, WorkshopError>> {
        // Drift is put between rendering and a process.
        if !fits(&clone) || !self.local.drifts().is_empty() {
            return self.local.prometheus(clone);
        }
        async move {
            let running = self.start_prometheus(clone).await?;
            Ok(Box::new(running) as Box<dyn PrometheusInstance>)
        }
        .boxed()
    }

    fn alertmanager(
        &self,
        clone: AlertmanagerClone,
    ) -> BoxFuture<'_, Result<Box<dyn AlertmanagerInstance>, WorkshopError>> {
        self.local.alertmanager(clone)
    }

    fn elasticsearch(
        &self,
        clone: ElasticsearchClone,
    ) -> BoxFuture<'_, Result<Running<crate::component::elasticsearch::Elasticsearch>, WorkshopError>> {
        self.local.elasticsearch(clone)
    }

    fn jaeger(
        &self,
        clone: JaegerClone,
    ) -> BoxFuture<'_, Result<Running<crate::component::jaeger::Jaeger>, WorkshopError>> {
        self.local.jaeger(clone)
    }

    fn collector(
        &self,
        clone: CollectorClone,
    ) -> BoxFuture<'_, Result<Running<crate::component::collector::Collector>, WorkshopError>> {
        self.local.collector(clone)
    }

    fn loki(
        &self,
        clone: LokiClone,
    ) -> BoxFuture<'_, Result<Running<crate::component::loki::Loki>, WorkshopError>> {
        self.local.loki(clone)
    }

    fn tool_with_environment(
        &self,
        tool: &str,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
        folder: PathBuf,
        bound: Duration,
    ) -> BoxFuture<'_, Result<ToolOutput, WorkshopError>> {
        self.local
            .tool_with_environment(tool, arguments, environment, folder, bound)
    }

    fn tool(
        &self,
        tool: &str,
        arguments: Vec<String>,
        folder: PathBuf,
        bound: Duration,
    ) -> BoxFuture<'_, Result<ToolOutput, WorkshopError>> {
        self.local.tool(tool, arguments, folder, bound)
    }

    fn snapshot<'a>(
        &'a self,
        server: &'a Prometheus,
        name: &'a str,
    ) -> BoxFuture<'a, Result<PathBuf, WorkshopError>> {
        self.local.snapshot(server, name)
    }

    fn scratch(&self, name: &str) -> Result<PathBuf, WorkshopError> {
        self.local.scratch(name)
    }

    fn changed_values(&self) -> Vec<ChangedValue> {
        self.local.changed_values()
    }

    fn drifts(&self) -> &[Edit] {
        self.local.drifts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clone_has_a_namespace_of_its_own_that_is_always_the_same() {
        let (one, other) = (
            namespace(Path::new("/runs/1/a")),
            namespace(Path::new("/runs/1/b")),
        );
        assert_ne!(one, other);
        assert_eq!(one, namespace(Path::new("/runs/1/a")));
        assert_eq!(one.len(), "conform-".len() + 12);
    }

    #[test]
    fn a_volume_is_open_to_the_servers_user() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("block/chunks");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("000001"), "data").unwrap();
        open_to_all(folder.path()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&inner), 0o777);
        assert_eq!(mode(&inner.join("000001")), 0o666);
    }

    #[test]
    fn rule_files_become_specifications() {
        let files = [(
            "a.yaml".to_owned(),
            "groups:\n- name: a\n  rules: []\n".to_owned(),
        )];
        assert_eq!(
            own_rules(&files).unwrap(),
            [json!({"spec": {"groups": [{"name": "a", "rules": []}]}})]
        );
    }
}
