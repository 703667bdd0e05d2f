//! Whether a cluster can still be relied on: its API server answers, and its nodes are ready.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::units::format_duration;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(2);
/// How long the API server may not answer before the cluster counts as gone.
const SILENT: Duration = Duration::from_secs(20);

/// A cluster that is looked at as long as this value lives.
#[derive(Debug)]
pub(in crate::target) struct Watched {
    trouble: Arc<Mutex<Option<String>>>,
    _looks: DropGuard,
}

impl Watched {
    /// Begins to look.
    pub(in crate::target) fn begin(client: Client) -> Self {
        let stop = CancellationToken::new();
        let trouble = Arc::new(Mutex::new(None));
        tokio::spawn({
            let (stop, trouble) = (stop.clone(), Arc::clone(&trouble));
            async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = look(client, &trouble) => {}
                }
            }
        });
        Self {
            trouble,
            _looks: stop.drop_guard(),
        }
    }

    /// Why it cannot be relied on, none while it can.
    pub(in crate::target) fn trouble(&self) -> Option<String> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

async fn look(client: Client, trouble: &Mutex<Option<String>>) {
    let nodes: Api<Node> = Api::all(client);
    let mut answered = Instant::now();
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        let seen = match nodes.list(&ListParams::default()).await {
            Ok(nodes) => {
                answered = Instant::now();
                nodes.iter().find_map(not_ready)
            }
            Err(error) if answered.elapsed() > SILENT => Some(format!(
                "{error}: the cluster's API server has not answered for {}",
                format_duration(answered.elapsed())
            )),
            Err(_) => None,
        };
        *trouble.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}

/// Why a node is not ready, none where it is.
fn not_ready(node: &Node) -> Option<String> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready")?;
    (ready.status != "True").then(|| {
        format!(
            "node {} is not ready: {}",
            node.name_any(),
            ready.message.as_deref().unwrap_or("it does not say why")
        )
    })
}
