//! A server of the tree as it runs here: rendered for free ports, written down, and its client.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::failure::Failure;
use super::server::{Place, Server};
use super::workshop::{Grounds, address, free_address};
use crate::component::ClientError;
use crate::component::collector::{Collector, CollectorEndpoints};
use crate::component::elasticsearch::{Elasticsearch, HealthStatus, Lifecycle, Node, has_snapshot_lifecycle};
use crate::component::jaeger::{Jaeger, JaegerEndpoints};
use crate::component::loki::Loki;
use crate::deploy::DeployTree;
use crate::render::elasticsearch::{
    self as elasticsearch_files, ElasticsearchRequest, ElasticsearchSetupRequest, SetupRequest, Tier,
    Watermarks,
};
use crate::render::jaeger::{JaegerAddresses, JaegerRequest, STRATEGIES, TraceStorage};
use crate::render::loki::LokiRequest;
use crate::render::{
    Rendered, collector as collector_files, jaeger as jaeger_files, loki as loki_files, yaml,
};
use crate::stack::{
    ChangedValue, CollectorClone, ElasticsearchClone, JaegerClone, LokiClone, Override, TraceStore,
};
use crate::units::{Bytes, Span};

/// Executable of the Collector.
pub(super) const COLLECTOR: &str = "otelcol";
/// The library that shifts clocks, among the executables.
pub(super) const CLOCK: &str = "libfaketimeMT.so.1";
/// The tree's Collector.
const COLLECTOR_OBJECT: &str = "otel";
/// How often lifecycles are looked at here: transitions are to be seen in seconds, and ages stay as declared.
pub(super) const POLL_INTERVAL: Span = Span(Duration::from_secs(1));
/// Heap of a node of one tier; nodes of more tiers have more to hold.
const HEAP_OF_ONE: Bytes = Bytes(384 * 1024 * 1024);
/// Heap of a node with all tiers.
const HEAP_OF_ALL: Bytes = Bytes(512 * 1024 * 1024);
/// What has to stay free on the run's disk, whatever its size: runs write little.
const WATERMARKS: Watermarks = Watermarks {
    low: Bytes(1024 * 1024 * 1024),
    high: Bytes(512 * 1024 * 1024),
    flood_stage: Bytes(256 * 1024 * 1024),
};
/// Longest from a node's start to its readiness on a machine that is busy with something else.
const NODE_BOUND: Duration = Duration::from_secs(150);

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

/// A node of a cluster to be.
#[derive(Debug, Clone)]
pub(super) struct NodeSpec {
    pub(super) name: String,
    pub(super) tiers: Vec<Tier>,
    pub(super) spot: Spot,
}

/// Whether the tree declares the Jaeger, or the one with adaptive sampling.
pub(super) fn declares_jaeger(tree: &DeployTree, adaptive: bool) -> bool {
    tree.of_kind("OpenTelemetryCollector")
        .any(|object| object.name() == jaeger_object(adaptive))
}

fn jaeger_object(adaptive: bool) -> &'static str {
    if adaptive { "jaeger-adaptive" } else { "jaeger" }
}

/// The nodes of one cluster, the first of which is the master and is asked for all of it.
pub(super) fn cluster(
    grounds: &Grounds,
    nodes: &[NodeSpec],
    repositories: &Path,
    overrides: &[Override],
) -> Result<Vec<Outfit<Elasticsearch>>, Failure> {
    make(repositories)?;
    let home = home(&grounds.executable("elasticsearch")?.path)?;
    let addresses = nodes
        .iter()
        .map(|_| Ok((free_address()?, free_address()?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let seeds: Vec<SocketAddr> = addresses.iter().map(|(_, transport)| *transport).collect();
    let masters: Vec<String> = nodes.iter().take(1).map(|node| node.name.clone()).collect();
    nodes
        .iter()
        .zip(&addresses)
        .map(|(node, (http, transport))| {
            let request = ElasticsearchRequest {
                name: &node.name,
                tiers: &node.tiers,
                http: *http,
                transport: *transport,
                seed_hosts: &seeds,
                initial_masters: &masters,
                folder: &node.spot.folder,
                repositories,
                heap: if node.tiers.len() == 1 {
                    HEAP_OF_ONE
                } else {
                    HEAP_OF_ALL
                },
                lifecycle_poll_interval: knows_lifecycle(&home).then_some(POLL_INTERVAL),
                watermarks: Some(WATERMARKS),
            };
            let rendered = elasticsearch_files::render(&grounds.tree, &request)?;
            // What the JVM and its libraries write while they run goes with the node.
            let scratch = node.spot.folder.join("tmp");
            make(&scratch)?;
            let config = node.spot.folder.join("config");
            make(&config)?;
            copy_logging(&home, &config)?;
            let server = grounds
                .outfit("elasticsearch", &node.spot, *http, rendered, overrides)?
                .in_environment([
                    ("ES_PATH_CONF".to_owned(), config.display().to_string()),
                    ("ES_TMPDIR".to_owned(), scratch.display().to_string()),
                ])
                .ready_within(NODE_BOUND);
            Ok(Outfit {
                server,
                client: Elasticsearch::new(address(*http)?)?,
            })
        })
        .collect()
}

/// A clone: one node with all tiers.
pub(super) fn elasticsearch(
    grounds: &Grounds,
    spot: &Spot,
    clone: &ElasticsearchClone,
) -> Result<Outfit<Elasticsearch>, Failure> {
    let own = spot.folder.join("repositories");
    let node = NodeSpec {
        name: "all".to_owned(),
        tiers: Tier::ALL.to_vec(),
        spot: spot.clone(),
    };
    let repositories = clone.repositories.as_deref().unwrap_or(&own);
    cluster(grounds, &[node], repositories, &clone.overrides)?
        .into_iter()
        .next()
        .ok_or_else(|| Failure::Environment("an Elasticsearch without nodes".to_owned()))
}

/// The folder that holds `bin/elasticsearch`, links followed.
fn home(executable: &Path) -> Result<PathBuf, Failure> {
    let path = executable
        .canonicalize()
        .map_err(|error| Failure::file(&error, "looking for", executable))?;
    path.parent()
        .and_then(Path::parent)
        .map(Path::to_owned)
        .ok_or_else(|| {
            Failure::Environment(format!(
                "{} is in no `bin` of a distribution: give the path of bin/elasticsearch in an unpacked one",
                path.display()
            ))
        })
}

/// Whether the distribution has a lifecycle, whose settings others refuse.
fn knows_lifecycle(home: &Path) -> bool {
    home.join("modules/x-pack-ilm").is_dir() || home.join("plugins/conform-lifecycle").is_dir()
}

/// The distribution's own logging, which a configuration folder has to have.
fn copy_logging(home: &Path, config: &Path) -> Result<(), Failure> {
    let from = home.join("config/log4j2.properties");
    fs::copy(&from, config.join("log4j2.properties"))
        .map(drop)
        .map_err(|error| Failure::file(&error, "copying", &from))
}

/// Sends what the tree sets up in Elasticsearch, as far as the server has the parts for it.
pub(super) async fn set_up(
    grounds: &Grounds,
    client: &Elasticsearch,
    nodes: &[Node],
    repositories: &Path,
) -> Result<(), Failure> {
    let setup = elasticsearch_files::setup(
        &grounds.tree,
        &ElasticsearchSetupRequest {
            repository: &repositories.join("daily-backup"),
            // As declared: what has nowhere to put a copy is yellow, and says so.
            replicas: None,
        },
    )?;
    grounds.note(&setup.changed_values);
    let lifecycle = Lifecycle::of(nodes) != Lifecycle::Absent;
    let snapshots = has_snapshot_lifecycle(nodes);
    for mut request in setup.requests {
        if let Some(why) = lacks(&request, lifecycle, snapshots) {
            grounds.note(&[not_sent(&request, "not sent", why)]);
            continue;
        }
        if !lifecycle && without_lifecycle(&mut request.body) {
            grounds.note(&[not_sent(&request, "without index.lifecycle", NO_LIFECYCLE)]);
        }
        if let Some(known) = &request.unless
            && exists(client, known).await?
        {
            continue;
        }
        let method = match request.method.as_str() {
            "POST" => Method::POST,
            _ => Method::PUT,
        };
        // An index is answered for when its primaries are there, or after this: before the client gives up.
        let path = if request.api().is_none() {
            format!("{}?timeout={}s", request.path, ALLOCATED.as_secs())
        } else {
            request.path.clone()
        };
        let answer = client
            .raw(method, &path, Some(&request.body))
            .await
            .map_err(|error| match error {
                // A server that has no room for a request is not one that refuses what it says.
                ClientError::Refused { status, .. } if status != 429 && status < 500 => {
                    Failure::Refused(format!("{error} ({})", request.document))
                }
                error => error.into(),
            })?;
        if answer.get("shards_acknowledged") == Some(&Value::Bool(false)) {
            let index = answer.get("index").and_then(Value::as_str).unwrap_or_default();
            allocated(client, index, &request.document).await?;
        }
    }
    Ok(())
}

/// Longest until the primaries of a new index are allocated before it is asked why they are not.
const ALLOCATED: Duration = Duration::from_secs(15);

/// An index whose primaries may go nowhere is the tree's fault; one that is slow gets more time.
async fn allocated(client: &Elasticsearch, index: &str, document: &str) -> Result<(), Failure> {
    if let Some(why) = client.nowhere_to_go(index).await? {
        return Err(Failure::Refused(format!(
            "no node may take the primaries of {index}: {why} ({document})"
        )));
    }
    client
        .settled(Some(index), HealthStatus::Yellow, 1, NODE_BOUND)
        .await
        .map(drop)
        .map_err(|error| Failure::Environment(error.to_string()))
}

const NO_LIFECYCLE: &str = "this Elasticsearch has no index lifecycle";
const NO_SNAPSHOT_LIFECYCLE: &str = "this Elasticsearch has no snapshot lifecycle";

/// Why the server has no part for a request.
fn lacks(request: &SetupRequest, lifecycle: bool, snapshots: bool) -> Option<&'static str> {
    if request.path.starts_with("/_ilm/") && !lifecycle {
        Some(NO_LIFECYCLE)
    } else if request.path.starts_with("/_slm/") && !snapshots {
        Some(NO_SNAPSHOT_LIFECYCLE)
    } else {
        None
    }
}

/// Takes the lifecycle out of a template's settings, which a server that does not know them refuses.
fn without_lifecycle(body: &mut Value) -> bool {
    body.pointer_mut("/template/settings/index")
        .and_then(Value::as_object_mut)
        .is_some_and(|settings| settings.remove("lifecycle").is_some())
}

fn not_sent(request: &SetupRequest, to: &str, why: &str) -> ChangedValue {
    ChangedValue {
        object: "ConfigMap/elasticsearch-setup".to_owned(),
        field: format!("{} {}", request.method, request.path),
        from: request.document.clone(),
        to: to.to_owned(),
        why: why.to_owned(),
    }
}

async fn exists(client: &Elasticsearch, path: &str) -> Result<bool, Failure> {
    match client.raw(Method::GET, path, None).await {
        Ok(_) => Ok(true),
        Err(ClientError::Refused { status: 404, .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A Jaeger.
pub(super) fn jaeger(grounds: &Grounds, spot: &Spot, clone: &JaegerClone) -> Result<Outfit<Jaeger>, Failure> {
    let listen = JaegerAddresses {
        otlp_grpc: free_address()?,
        otlp_http: free_address()?,
        query_http: free_address()?,
        query_grpc: free_address()?,
        sampling_http: free_address()?,
        sampling_grpc: free_address()?,
        health: free_address()?,
        telemetry: free_address()?,
    };
    let mut overrides = clone.overrides.clone();
    let storage = match &clone.store {
        TraceStore::Elasticsearch { url, index_prefix } => {
            if !index_prefix.is_empty() {
                overrides.push(Override::new(
                    "/extensions/jaeger_storage/backends/elasticsearch/elasticsearch/indices/index_prefix",
                    index_prefix.as_str(),
                    "a clone's indices are its own",
                ));
            }
            TraceStorage::Elasticsearch(url.clone())
        }
        TraceStore::Memory { max_traces } => TraceStorage::Memory {
            max_traces: *max_traces,
        },
    };
    let request = JaegerRequest {
        instance: jaeger_object(clone.adaptive),
        listen,
        storage: &storage,
        strategies_reload: clone.strategies_reload.map(Span),
        divide_durations_by: clone.divide_durations_by,
    };
    let mut rendered = jaeger_files::render(&grounds.tree, &request)?;
    if let Some(text) = &clone.strategies {
        let declared = rendered.files.insert(STRATEGIES.to_owned(), text.clone());
        rendered.changed_values.push(ChangedValue {
            object: format!("{} ({STRATEGIES})", clone.name),
            field: "the whole file".to_owned(),
            from: declared.unwrap_or_default(),
            to: text.clone(),
            why: "a clone has strategies of its case's own".to_owned(),
        });
    }
    let asked = rendered
        .files
        .first()
        .and_then(|(_, text)| serde_saphyr::from_str::<Value>(text).ok())
        .is_some_and(|content| content.pointer("/extensions/jaeger_query").is_some());
    let server = grounds.outfit("jaeger", spot, listen.otlp_grpc, rendered, &overrides)?;
    let client = Jaeger::new(JaegerEndpoints {
        query: if asked {
            Some(address(listen.query_http)?)
        } else {
            None
        },
        sampling: address(listen.sampling_http)?,
        health: address(listen.health)?,
        metrics: address(listen.telemetry)?,
        otlp_grpc: listen.otlp_grpc,
        otlp_http: listen.otlp_http,
    })?;
    Ok(Outfit { server, client })
}

/// A Collector.
pub(super) fn collector(
    grounds: &Grounds,
    spot: &Spot,
    clone: &CollectorClone,
) -> Result<Outfit<Collector>, Failure> {
    let request = collector_files::CollectorRequest {
        instance: COLLECTOR_OBJECT,
        otlp_grpc: free_address()?,
        otlp_http: free_address()?,
        health: free_address()?,
        telemetry: free_address()?,
        exporter: clone.traces_to,
        sampling_percentages: &clone.sampling_percentages,
    };
    let rendered = collector_files::render(&grounds.tree, &request)?;
    let server = grounds.outfit(COLLECTOR, spot, request.otlp_grpc, rendered, &clone.overrides)?;
    let client = Collector::new(CollectorEndpoints {
        health: address(request.health)?,
        metrics: address(request.telemetry)?,
        otlp_grpc: request.otlp_grpc,
        otlp_http: request.otlp_http,
    })?;
    Ok(Outfit { server, client })
}

/// A Loki.
pub(super) fn loki(grounds: &Grounds, spot: &Spot, clone: &LokiClone) -> Result<Outfit<Loki>, Failure> {
    let http = free_address()?;
    let data = spot.folder.join("data");
    let request = LokiRequest {
        http,
        grpc: free_address()?,
        folder: &data,
        compaction: clone.compaction.map(Span),
    };
    let rendered = loki_files::render(&grounds.tree, &request)?;
    let server = grounds.outfit("loki", spot, http, rendered, &clone.overrides)?;
    Ok(Outfit {
        server,
        client: Loki::new(address(http)?)?,
    })
}

impl Grounds {
    /// Writes a rendered server down, with a clone's values in it and the drifts put on.
    fn outfit(
        &self,
        executable: &str,
        spot: &Spot,
        listen: SocketAddr,
        mut rendered: Rendered,
        overrides: &[Override],
    ) -> Result<Server, Failure> {
        put(&mut rendered, overrides)?;
        self.note(&rendered.changed_values);
        let rendered = self.drift(rendered, executable);
        let place = Place {
            executable: executable.to_owned(),
            program: self.executable(executable)?,
            folder: spot.folder.clone(),
            artifacts: spot.artifacts.clone(),
            listen,
        };
        Server::write(place, &rendered)
    }
}

/// Puts a clone's values into its configuration, the first of the rendered files.
fn put(rendered: &mut Rendered, overrides: &[Override]) -> Result<(), Failure> {
    let Some((file, text)) = rendered.files.first_mut().filter(|_| !overrides.is_empty()) else {
        return Ok(());
    };
    let mut content: Value = serde_saphyr::from_str(text)
        .map_err(|error| Failure::Environment(format!("{file} as rendered does not parse: {error}")))?;
    for Override { pointer, value, why } in overrides {
        let before = set(&mut content, pointer, value)
            .map_err(|why| Failure::Environment(format!("the override of {pointer} in {file}: {why}")))?;
        let shown = |value: Option<&Value>| match value {
            None | Some(Value::Null) => "not set".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        rendered.changed_values.push(ChangedValue {
            object: file.clone(),
            field: pointer.clone(),
            from: shown(before.as_ref()),
            to: shown(Some(value)),
            why: why.clone(),
        });
    }
    *text = yaml::write(file, &content)?;
    Ok(())
}

/// Sets what a JSON pointer names, members on the way made; what was there.
fn set(content: &mut Value, pointer: &str, value: &Value) -> Result<Option<Value>, String> {
    let path = pointer.strip_prefix('/').ok_or("a pointer begins with a slash")?;
    let parts: Vec<String> = path
        .split('/')
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
        .collect();
    let (last, on_the_way) = parts.split_last().ok_or("a pointer names a member")?;
    let mut place = content;
    for part in on_the_way {
        place = match place {
            Value::Object(members) => members
                .entry(part.as_str())
                .or_insert_with(|| Value::Object(serde_json::Map::new())),
            Value::Array(items) => part
                .parse::<usize>()
                .ok()
                .and_then(|at| items.get_mut(at))
                .ok_or_else(|| format!("`{part}` is no item of the list"))?,
            _ => return Err(format!("`{part}` is below a plain value")),
        };
    }
    match place {
        Value::Object(members) if value.is_null() => Ok(members.shift_remove(last)),
        Value::Object(members) => Ok(members.insert(last.clone(), value.clone())),
        Value::Array(items) => {
            let item = last
                .parse::<usize>()
                .ok()
                .and_then(|at| items.get_mut(at))
                .ok_or_else(|| format!("`{last}` is no item of the list"))?;
            Ok(Some(std::mem::replace(item, value.clone())))
        }
        _ => Err(format!("`{last}` is below a plain value")),
    }
}

fn make(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| Failure::file(&error, "making", folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use indexmap::IndexMap;
    use serde_json::json;

    #[test]
    fn overrides_are_put_and_listed() {
        let mut rendered = Rendered {
            files: IndexMap::from([(
                "collector.yaml".to_owned(),
                "processors:\n  batch:\n    timeout: 1s\n".to_owned(),
            )]),
            ..Rendered::default()
        };
        let overrides = [
            Override::new("/processors/batch/timeout", "200ms", "a"),
            Override::new("/exporters/debug/verbosity", "basic", "b"),
            Override::new("/processors/batch/size", Value::Null, "c"),
        ];
        put(&mut rendered, &overrides).unwrap();
        let content: Value = serde_saphyr::from_str(&rendered.files[0]).unwrap();
        assert_eq!(
            content,
            json!({"processors": {"batch": {"timeout": "200ms"}}, "exporters": {"debug": {"verbosity": "basic"}}})
        );
        let first = &rendered.changed_values[0];
        assert_eq!((first.from.as_str(), first.to.as_str()), ("1s", "200ms"));
        assert_eq!(rendered.changed_values[1].from, "not set");
    }

    #[test]
    fn an_override_below_a_plain_value_is_refused() {
        let mut content = json!({"a": 1});
        assert!(
            set(&mut content, "/a/b", &json!(2))
                .unwrap_err()
                .contains("plain value")
        );
        assert!(set(&mut content, "a", &json!(2)).is_err());
    }

    #[test]
    fn a_template_loses_its_lifecycle_where_the_server_has_none() {
        let mut body = json!({"template": {"settings": {"index": {"number_of_shards": 3, "lifecycle": {"name": "logs"}}}}});
        assert!(without_lifecycle(&mut body));
        assert!(!without_lifecycle(&mut body));
        assert_eq!(
            body,
            json!({"template": {"settings": {"index": {"number_of_shards": 3}}}})
        );
    }
}
