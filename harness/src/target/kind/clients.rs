//! Clients of the servers of a stack that something else runs, and what is seen of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use indexmap::IndexMap;
use url::Url;

use super::reach::{Door, Instance, Port};
use crate::component::alertmanager::Alertmanager;
use crate::component::collector::{Collector, CollectorEndpoints};
use crate::component::elasticsearch::{Elasticsearch, Node};
use crate::component::jaeger::{Jaeger, JaegerEndpoints};
use crate::component::loki::Loki;
use crate::component::prometheus::Prometheus;
use crate::progress::Progress;
use crate::stack::{Capability, ComponentInfo, Missing};
use crate::target::failure::Failure;
use crate::target::server::Ready;
use crate::target::shared::{self, Seen};
use crate::wait::{Look, Wait};

/// How long a server that is said to run may take until it answers.
const ANSWERS: Duration = Duration::from_secs(60);

/// The clients of a stack's servers.
#[derive(Debug)]
pub(in crate::target) struct Clients {
    pub(in crate::target) prometheus: Prometheus,
    pub(in crate::target) alertmanager: Alertmanager,
    pub(in crate::target) elasticsearch: Option<Elasticsearch>,
    pub(in crate::target) jaeger: Option<Jaeger>,
    pub(in crate::target) jaeger_adaptive: Option<Jaeger>,
    pub(in crate::target) collector: Option<Collector>,
    pub(in crate::target) loki: Option<Loki>,
}

/// `http://address/`.
fn url(address: SocketAddr) -> Result<Url, Failure> {
    crate::target::workshop::address(address)
}

impl Clients {
    /// Clients of what is behind the doors; Prometheus and Alertmanager every stack has.
    pub(in crate::target) fn new(at: &dyn Fn(Door) -> Option<SocketAddr>) -> Result<Self, Failure> {
        let plain = |door| at(door).map(url).transpose();
        let needed = |door: Door, what: &str| {
            plain(door)?
                .ok_or_else(|| Failure::Environment(format!("the stack has no {what} that could be asked")))
        };
        Ok(Self {
            prometheus: Prometheus::new(needed(Door::Prometheus, "Prometheus")?)?,
            alertmanager: Alertmanager::new(needed(Door::Alertmanager, "Alertmanager")?)?,
            elasticsearch: plain(Door::Elasticsearch)?.map(Elasticsearch::new).transpose()?,
            jaeger: jaeger(Instance::Jaeger, at)?,
            jaeger_adaptive: jaeger(Instance::JaegerAdaptive, at)?,
            collector: collector(at)?,
            loki: plain(Door::Loki)?.map(Loki::new).transpose()?,
        })
    }

    /// Waits until each of them answers.
    pub(in crate::target) async fn ready(&self, progress: &Progress) -> Result<(), Failure> {
        progress.step("stack", "asking every server whether it is ready");
        tokio::try_join!(
            answers("prometheus", Some(&self.prometheus)),
            answers("alertmanager", Some(&self.alertmanager)),
            answers("elasticsearch", self.elasticsearch.as_ref()),
            answers("jaeger", self.jaeger.as_ref()),
            answers("jaeger-adaptive", self.jaeger_adaptive.as_ref()),
            answers("collector", self.collector.as_ref()),
            answers("loki", self.loki.as_ref()),
        )
        .map(drop)
    }

    /// What is seen of the running components; `images` are theirs where they are known.
    pub(in crate::target) async fn seen(
        &self,
        images: &BTreeMap<&'static str, String>,
    ) -> Result<IndexMap<String, Seen>, Failure> {
        let version = |version: String| Seen {
            version: Some(version),
            ..Seen::default()
        };
        let tagged = |name: &str| {
            let tag = images.get(name).and_then(|image| image.rsplit_once(':'));
            Seen {
                version: tag.map(|(_, tag)| tag.trim_start_matches('v').to_owned()),
                ..Seen::default()
            }
        };
        let mut seen = IndexMap::from([
            ("prometheus".to_owned(), version(self.prometheus.version().await?)),
            (
                "alertmanager".to_owned(),
                version(self.alertmanager.version().await?),
            ),
        ]);
        if let Some(server) = &self.elasticsearch {
            seen.insert("elasticsearch".to_owned(), elasticsearch(&server.nodes().await?));
        }
        let mut jaeger = tagged("jaeger");
        if self.jaeger_adaptive.is_some() {
            jaeger.capabilities.push(Capability::JaegerAdaptive);
        }
        seen.insert("jaeger".to_owned(), jaeger);
        seen.insert("otel-collector".to_owned(), tagged("otel-collector"));
        if let Some(server) = &self.loki {
            seen.insert("loki".to_owned(), version(server.version().await?));
        }
        Ok(seen)
    }

    /// Takes what the stack does not have from the components, and says `why`.
    pub(in crate::target) fn missing(&self, components: &mut [ComponentInfo], why: &str) {
        let here = [
            (Capability::Elasticsearch, self.elasticsearch.is_some()),
            (Capability::Tiers, self.elasticsearch.is_some()),
            (Capability::Lifecycle, self.elasticsearch.is_some()),
            (Capability::SnapshotRepository, self.elasticsearch.is_some()),
            (Capability::SnapshotLifecycle, self.elasticsearch.is_some()),
            (Capability::Jaeger, self.jaeger.is_some()),
            (Capability::JaegerAdaptive, self.jaeger_adaptive.is_some()),
            (Capability::Collector, self.collector.is_some()),
            (Capability::Loki, self.loki.is_some()),
        ];
        let gone = |capability: &Capability| here.contains(&(*capability, false));
        for component in components {
            let (lost, left): (Vec<_>, Vec<_>) = component.capabilities.drain(..).partition(gone);
            component.capabilities = left;
            component
                .missing
                .extend(lost.into_iter().map(|capability| Missing {
                    capability,
                    reason: why.to_owned(),
                }));
        }
    }
}

fn jaeger(instance: Instance, at: &dyn Fn(Door) -> Option<SocketAddr>) -> Result<Option<Jaeger>, Failure> {
    let of = |port| at(Door::Collector(instance, port));
    let (Some(sampling), Some(health), Some(metrics), Some(otlp_grpc), Some(otlp_http)) = (
        of(Port::Sampling),
        of(Port::Health),
        of(Port::Metrics),
        of(Port::OtlpGrpc),
        of(Port::OtlpHttp),
    ) else {
        return Ok(None);
    };
    // One of the two on the same store is asked.
    let query = (instance == Instance::Jaeger).then(|| of(Port::Query)).flatten();
    Ok(Some(Jaeger::new(JaegerEndpoints {
        query: query.map(url).transpose()?,
        sampling: url(sampling)?,
        health: url(health)?,
        metrics: url(metrics)?,
        otlp_grpc,
        otlp_http,
    })?))
}

fn collector(at: &dyn Fn(Door) -> Option<SocketAddr>) -> Result<Option<Collector>, Failure> {
    let of = |port| at(Door::Collector(Instance::Otel, port));
    let (Some(health), Some(metrics), Some(otlp_grpc), Some(otlp_http)) = (
        of(Port::Health),
        of(Port::Metrics),
        of(Port::OtlpGrpc),
        of(Port::OtlpHttp),
    ) else {
        return Ok(None);
    };
    Ok(Some(Collector::new(CollectorEndpoints {
        health: url(health)?,
        metrics: url(metrics)?,
        otlp_grpc,
        otlp_http,
    })?))
}

/// What a cluster's nodes bring and lack. The tree's repositories are on S3, which not every distribution can
/// write to.
fn elasticsearch(nodes: &[Node]) -> Seen {
    let mut seen = shared::seen(nodes);
    let s3 = |node: &Node| {
        node.modules
            .iter()
            .chain(&node.plugins)
            .any(|part| part == "repository-s3")
    };
    if !nodes.iter().all(s3) {
        seen.capabilities
            .retain(|capability| *capability != Capability::SnapshotRepository);
        seen.missing.push(Missing {
            capability: Capability::SnapshotRepository,
            reason:
                "this Elasticsearch has no repositories on S3 (repository-s3), as when it was assembled from \
                     Maven artifacts, and the tree's are there; give an image of a full distribution"
                    .to_owned(),
        });
    }
    seen
}

/// Waits until a server answers that it is ready.
pub(super) async fn answers(name: &str, client: Option<&impl Ready>) -> Result<(), Failure> {
    let Some(client) = client else { return Ok(()) };
    Wait::new(format!("{name} ready"), ANSWERS)
        .every(Duration::from_millis(100))
        .until(|| async {
            match client.ready().await {
                Ok(()) => Look::Ready(()),
                Err(error) => Look::Missing(error.to_string()),
            }
        })
        .await
        .map_err(|error| Failure::Environment(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_with_a_door_too_few_is_not_there() {
        let all = |door: Door| {
            let hidden = door == Door::Loki || door == Door::Collector(Instance::Otel, Port::Metrics);
            (!hidden).then(|| "127.0.0.1:1".parse().unwrap())
        };
        let clients = Clients::new(&all).unwrap();
        assert!(clients.loki.is_none() && clients.collector.is_none());
        assert!(clients.jaeger.unwrap().endpoints().query.is_some());
        assert!(clients.jaeger_adaptive.unwrap().endpoints().query.is_none());
        let error = Clients::new(&|_| None).unwrap_err();
        assert!(matches!(error, Failure::Environment(why) if why.contains("no Prometheus")));
    }

    #[test]
    fn what_is_not_there_is_missing_with_the_reason() {
        let only = |door: Door| {
            matches!(door, Door::Prometheus | Door::Alertmanager).then(|| "127.0.0.1:1".parse().unwrap())
        };
        let mut components = [ComponentInfo {
            name: "jaeger".to_owned(),
            version: String::new(),
            origin: String::new(),
            capabilities: vec![Capability::Jaeger, Capability::JaegerClone],
            missing: Vec::new(),
            stand_ins: Vec::new(),
        }];
        Clients::new(&only)
            .unwrap()
            .missing(&mut components, "no address is given");
        assert_eq!(components[0].capabilities, [Capability::JaegerClone]);
        assert_eq!(components[0].missing[0].reason, "no address is given");
    }
}
