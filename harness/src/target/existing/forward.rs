//! Ports of pods on loopback, by way of the API server.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long the API server may take to lead a connection to a pod.
const CONNECTED: Duration = Duration::from_secs(20);

/// A port of loopback that leads to a port of a pod as long as this value lives.
#[derive(Debug)]
pub(in crate::target) struct Forward {
    address: SocketAddr,
    _running: DropGuard,
}

/// A port of the pods behind a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::target) struct Target {
    namespace: String,
    /// Selector as the API takes it: `name=value,name=value`.
    selector: String,
    /// Number or name.
    port: Value,
}

impl Target {
    /// What a Service of this selector and target port leads to.
    pub(in crate::target) fn new(namespace: &str, selector: &Value, port: &Value) -> Self {
        let pairs: Vec<String> = selector
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)))
            .collect();
        Self {
            namespace: namespace.to_owned(),
            selector: pairs.join(","),
            port: port.clone(),
        }
    }

    /// A ready pod, and the port's number in it; none where none is ready.
    async fn pod(&self, client: &Client) -> Result<Option<(String, u16)>, kube::Error> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &self.namespace);
        let listed = pods.list(&ListParams::default().labels(&self.selector)).await?;
        Ok(listed
            .iter()
            .filter(|pod| is_ready(pod))
            .find_map(|pod| Some((pod.name_any(), number(pod, &self.port)?))))
    }
}

fn is_ready(pod: &Pod) -> bool {
    pod.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The number of a port that is given by number or name.
fn number(pod: &Pod, port: &Value) -> Option<u16> {
    match port {
        Value::Number(number) => u16::try_from(number.as_u64()?).ok(),
        Value::String(name) => pod
            .spec
            .iter()
            .flat_map(|spec| &spec.containers)
            .flat_map(|container| container.ports.iter().flatten())
            .find(|port| port.name.as_deref() == Some(name.as_str()))
            .and_then(|port| u16::try_from(port.container_port).ok()),
        _ => None,
    }
}

impl Forward {
    /// Leads a free port of loopback there; none where no pod is ready. Each connection is led to a pod that is
    /// ready then, so that a pod may be replaced meanwhile.
    pub(in crate::target) async fn start(
        client: Client,
        target: Target,
    ) -> Result<Option<Self>, kube::Error> {
        if target.pod(&client).await?.is_none() {
            return Ok(None);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(|error| kube::Error::Service(Box::new(error)))?;
        let address = listener
            .local_addr()
            .map_err(|error| kube::Error::Service(Box::new(error)))?;
        let stop = CancellationToken::new();
        tokio::spawn(listen(listener, client, target, stop.clone()));
        Ok(Some(Self {
            address,
            _running: stop.drop_guard(),
        }))
    }

    /// The port of loopback.
    pub(in crate::target) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn listen(listener: TcpListener, client: Client, target: Target, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // Who cannot be let in finds the connection closed, and says so.
        if let Ok((stream, _)) = accepted {
            let (client, target, stop) = (client.clone(), target.clone(), stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = lead(stream, client, target) => {}
                }
            });
        }
    }
}

/// Leads one connection to its end. A failure is seen by both sides as the end of the connection.
async fn lead(mut stream: TcpStream, client: Client, target: Target) {
    let connected = async {
        let (pod, port) = target.pod(&client).await.ok()??;
        let pods: Api<Pod> = Api::namespaced(client.clone(), &target.namespace);
        let mut forwarder = pods.portforward(&pod, &[port]).await.ok()?;
        let far = forwarder.take_stream(port)?;
        Some((forwarder, far))
    };
    if let Ok(Some((forwarder, mut far))) = tokio::time::timeout(CONNECTED, connected).await {
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut far).await;
        drop(far);
        forwarder.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_selector_is_written_as_the_api_takes_it() {
        let target = Target::new("monitoring", &json!({"a": "b", "c/d": "e"}), &json!("web"));
        assert_eq!(target.selector, "a=b,c/d=e");
    }

    #[test]
    fn a_port_is_known_by_its_number_or_by_its_containers_name_for_it() {
        let pod: Pod = serde_json::from_value(json!({
            "spec": {"containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 9090}]}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap();
        assert!(is_ready(&pod));
        assert_eq!(number(&pod, &json!("web")), Some(9090));
        assert_eq!(number(&pod, &json!(1)), Some(1));
        assert_eq!(number(&pod, &json!("other")), None);
    }
}
