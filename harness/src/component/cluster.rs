//! The API server of a Kubernetes cluster, as far as cases ask it: objects, pods and their logs, events, what a
//! service account may do, and workloads that are restarted or lose a pod.
//!
//! A question that the server is too busy for (429, 5xx, no connection) is asked again for [`ANSWER_BOUND`], and how
//! often that was is told ([`Cluster::busy`]); whatever else it refuses is an error with its own words.

mod access;
mod kind;
mod workload;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex as Counts, PoisonError};
use std::time::Duration;

use flate2::read::GzDecoder;
use k8s_openapi::ByteString;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, LogParams, Patch, PatchParams, PostParams,
    ValidationDirective,
};
use serde_json::{Value, json};
use tokio::sync::Mutex;

pub use access::{Access, Answer, ServiceAccount};
pub use kind::Kind;
pub use workload::{Controller, Workload};

use super::ANSWER_BOUND;
use crate::target::kind::apply::cluster::text;
use crate::target::kind::apply::readiness::{Readiness, readiness};
use crate::target::kind::apply::{passes, words};
use crate::wait::{Look, Wait, WaitError};

/// Who the API server says applied what cases apply.
const MANAGER: &str = "conform-case";

/// How often the server is asked again.
const AGAIN: Duration = Duration::from_millis(200);

/// First bytes of what is compressed with gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why the API server could not be asked, or what it answered instead.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// No answer, or none but that it is too busy.
    #[error("{why}: the API server does not answer {question}")]
    Unreachable {
        /// What was asked.
        question: String,
        /// What came in place of an answer.
        why: String,
    },
    /// An answer that says no.
    #[error("the API server refuses {question} with {status}: {why}")]
    Refused {
        /// What was asked.
        question: String,
        /// HTTP status.
        status: u16,
        /// The server's own words.
        why: String,
    },
    /// An answer that cannot be read.
    #[error("{why}: the API server's answer to {question} cannot be read")]
    Unreadable {
        /// What was asked.
        question: String,
        /// What does not fit.
        why: String,
    },
    /// What has to be there is not.
    #[error("the cluster has no {object}")]
    Absent {
        /// The object.
        object: String,
    },
    /// What was waited for did not come.
    #[error(transparent)]
    Late(#[from] WaitError),
}

/// A client of one cluster's API server.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    /// How often each status stood in the way of an answer; 0 where there was none.
    busy: Arc<Counts<BTreeMap<u16, u32>>>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    /// A client of the API server that `client` talks to, with the rights of its user.
    #[must_use]
    pub fn new(client: kube::Client) -> Self {
        Self {
            client,
            busy: Arc::default(),
        }
    }

    /// How often the server was too busy to answer, beyond what its client gets over by itself (kube 5.0 asks again
    /// a few times after 429, 503 and 504), and was asked again; none where it never was.
    #[must_use]
    pub fn busy(&self) -> Option<String> {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let times: u32 = busy.values().sum();
        let with: Vec<String> = busy
            .iter()
            .map(|(status, times)| match status {
                0 => format!("without a word {times}"),
                status => format!("with {status} {times}"),
            })
            .collect();
        (times > 0).then(|| {
            format!(
                "the API server did not answer {times} times at first ({}), and was asked again",
                with.join(", ")
            )
        })
    }

    /// Counts what stood in the way of an answer.
    fn again(&self, status: u16) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        *busy.entry(status).or_default() += 1;
    }

    /// The client below, for what is not asked here.
    #[must_use]
    pub fn client(&self) -> &kube::Client {
        &self.client
    }

    /// Version the server reports, for example `v1.37.0`.
    pub async fn version(&self) -> Result<String, ClusterError> {
        let info = self
            .ask("its version", || self.client.apiserver_version())
            .await?;
        Ok(info.git_version)
    }

    /// An object, none where there is none of that name. The namespace is empty for what lies in none.
    pub async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Option<Value>, ClusterError> {
        let api = self.api(kind, namespace);
        let question = format!("for {}", kind.named(namespace, name));
        let found = self.ask(&question, || api.get_opt(name)).await?;
        found.map(|object| value(&object, kind, &question)).transpose()
    }

    /// An object that has to be there.
    pub async fn need(&self, kind: Kind, namespace: &str, name: &str) -> Result<Value, ClusterError> {
        self.get(kind, namespace, name)
            .await?
            .ok_or_else(|| ClusterError::Absent {
                object: kind.named(namespace, name),
            })
    }

    /// Every object of a kind whose labels match `selector` (`app=x,tier in (a,b)`; empty for all), in one namespace,
    /// or in all where that is empty.
    pub async fn list(
        &self,
        kind: Kind,
        namespace: &str,
        selector: &str,
    ) -> Result<Vec<Value>, ClusterError> {
        let api = self.api(kind, namespace);
        let wanted = ListParams::default().labels(selector);
        let question = format!(
            "for every {} of namespace {namespace:?} with {selector:?}",
            kind.kind
        );
        let list = self.ask(&question, || api.list(&wanted)).await?;
        list.items
            .iter()
            .map(|object| value(object, kind, &question))
            .collect()
    }

    /// Applies an object server-side: fields it names become as it says, others stay as they are.
    pub async fn apply(&self, kind: Kind, object: &Value) -> Result<Value, ClusterError> {
        let (namespace, name) = (
            text(object, "/metadata/namespace"),
            text(object, "/metadata/name"),
        );
        let parameters = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            force: true,
            // An unknown field would be without effect.
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::default()
        };
        self.change(kind, namespace, name, &parameters, &Patch::Apply(object))
            .await
    }

    /// Changes an object by a JSON merge patch (RFC 7396): null removes a field.
    pub async fn patch(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        change: &Value,
    ) -> Result<Value, ClusterError> {
        self.change(
            kind,
            namespace,
            name,
            &PatchParams::default(),
            &Patch::Merge(change),
        )
        .await
    }

    async fn change(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        parameters: &PatchParams,
        patch: &Patch<&Value>,
    ) -> Result<Value, ClusterError> {
        let api = self.api(kind, namespace);
        let question = format!("to change {}", kind.named(namespace, name));
        let changed = self.ask(&question, || api.patch(name, parameters, patch)).await?;
        value(&changed, kind, &question)
    }

    /// Deletes an object, with what it owns; one that is gone already is as good. Does not wait for its end.
    pub async fn delete(&self, kind: Kind, namespace: &str, name: &str) -> Result<(), ClusterError> {
        self.remove(kind, namespace, name, &DeleteParams::background())
            .await
    }

    /// Deletes an object and waits until it is gone, at most for `bound`.
    pub async fn delete_and_wait(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        bound: Duration,
    ) -> Result<(), ClusterError> {
        self.delete(kind, namespace, name).await?;
        let named = kind.named(namespace, name);
        self.until(&format!("{named} gone"), bound, || async {
            Ok(match self.get(kind, namespace, name).await? {
                None => Look::Ready(()),
                Some(_) => Look::Missing(format!("{named} is still there")),
            })
        })
        .await
    }

    /// Kills a pod without grace: its containers get no time to end in order.
    pub async fn kill(&self, namespace: &str, pod: &str) -> Result<(), ClusterError> {
        let at_once = DeleteParams {
            grace_period_seconds: Some(0),
            ..DeleteParams::background()
        };
        self.remove(Kind::POD, namespace, pod, &at_once).await
    }

    async fn remove(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        how: &DeleteParams,
    ) -> Result<(), ClusterError> {
        let api = self.api(kind, namespace);
        let question = format!("to delete {}", kind.named(namespace, name));
        let gone = self.ask(&question, || api.delete(name, how)).await;
        match gone {
            Ok(_) | Err(ClusterError::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The last `lines` lines that a pod's container has logged.
    pub async fn log(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        lines: u32,
    ) -> Result<String, ClusterError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let wanted = LogParams {
            container: Some(container.to_owned()),
            tail_lines: Some(i64::from(lines)),
            ..LogParams::default()
        };
        let question = format!("for the log of container {container} of Pod {namespace}/{pod}");
        self.ask(&question, || pods.logs(pod, &wanted)).await
    }

    /// What is said of an object in events, oldest first: reason and message.
    pub async fn events(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Vec<(String, String)>, ClusterError> {
        let api = self.api(Kind::EVENT, namespace);
        let about = format!("involvedObject.kind={},involvedObject.name={name}", kind.kind);
        let wanted = ListParams::default().fields(&about);
        let question = format!("for the events of {}", kind.named(namespace, name));
        let list = self.ask(&question, || api.list(&wanted)).await?;
        let mut events = list
            .items
            .iter()
            .map(|event| value(event, Kind::EVENT, &question))
            .collect::<Result<Vec<_>, _>>()?;
        events.sort_by(|a, b| {
            text(a, "/metadata/creationTimestamp").cmp(text(b, "/metadata/creationTimestamp"))
        });
        Ok(events
            .iter()
            .map(|event| {
                (
                    text(event, "/reason").to_owned(),
                    text(event, "/message").to_owned(),
                )
            })
            .collect())
    }

    /// The text under a key of a Secret, decompressed where it is gzip, as the Prometheus operator's is.
    pub async fn secret_text(&self, namespace: &str, name: &str, key: &str) -> Result<String, ClusterError> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let object = Kind::SECRET.named(namespace, name);
        let question = format!("for {object}");
        let secret = self.ask(&question, || secrets.get_opt(name)).await?;
        let data = secret
            .and_then(|secret| secret.data)
            .and_then(|mut data| data.remove(key));
        let Some(ByteString(bytes)) = data else {
            return Err(ClusterError::Absent {
                object: format!("key {key} in {object}"),
            });
        };
        unpacked(&bytes).map_err(|why| ClusterError::Unreadable {
            question: format!("{question}, key {key}"),
            why,
        })
    }

    /// Whether a service account may do something, as the server's authorizers say
    /// (`SubjectAccessReview`, Kubernetes 1.37, `authorization.k8s.io/v1`).
    pub async fn may(&self, who: &ServiceAccount, access: &Access) -> Result<Answer, ClusterError> {
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let (as_said, review) = (PostParams::default(), access.review(who));
        let question = format!("whether {who} may {access}");
        let reviewed = self.ask(&question, || reviews.create(&as_said, &review)).await?;
        Answer::of(reviewed).ok_or(ClusterError::Unreadable {
            question,
            why: "it has no status".to_owned(),
        })
    }

    /// A workload as it is.
    pub async fn workload(&self, workload: &Workload) -> Result<Value, ClusterError> {
        self.need(workload.controller.kind(), &workload.namespace, &workload.name)
            .await
    }

    /// The pods that a workload's selector matches, those on their way out among them.
    pub async fn pods(&self, workload: &Workload) -> Result<Vec<Value>, ClusterError> {
        let object = self.workload(workload).await?;
        let selector = workload::selector(&object);
        if selector.is_empty() {
            return Err(ClusterError::Unreadable {
                question: format!("for {workload}"),
                why: "it selects its pods by no label".to_owned(),
            });
        }
        self.list(Kind::POD, &workload.namespace, &selector).await
    }

    /// Begins to replace every pod of a workload in turn, as `kubectl rollout restart` does. `why` becomes the mark of
    /// the new pods, so it has to differ from that of the restart before.
    pub async fn restart(&self, workload: &Workload, why: &str) -> Result<(), ClusterError> {
        let mark = json!({"spec": {"template": {"metadata": {"annotations": {(workload::RESTARTED): why}}}}});
        let (namespace, name) = (&workload.namespace, &workload.name);
        self.patch(workload.controller.kind(), namespace, name, &mark)
            .await?;
        Ok(())
    }

    /// Waits until a workload is as declared: every replica of the newest form and ready, and none of
    /// `former` (uids of pods, see [`Cluster::pods`]) left. At most for `bound`.
    pub async fn rolled_out(
        &self,
        workload: &Workload,
        former: &[String],
        bound: Duration,
    ) -> Result<(), ClusterError> {
        self.until(&format!("{workload} rolled out"), bound, || async {
            let object = self.workload(workload).await?;
            if let Readiness::Waiting(what) | Readiness::Ended(what) = readiness(&object) {
                return Ok(Look::Missing(what));
            }
            let pods = self.pods(workload).await?;
            Ok(
                match workload::unsettled(&pods, workload::wanted(&object), former) {
                    None => Look::Ready(()),
                    Some(what) => Look::Missing(what),
                },
            )
        })
        .await
    }

    /// Waits until the cluster is seen to be as wanted, at most for `bound`. An error of the server ends the wait.
    pub async fn until<T, F, Fut>(&self, name: &str, bound: Duration, mut look: F) -> Result<T, ClusterError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<Look<T>, ClusterError>>,
    {
        let error = Mutex::new(None);
        let waited = Wait::new(name, bound)
            .every(AGAIN)
            .until(|| {
                let looked = look();
                async {
                    match looked.await {
                        Ok(look) => look,
                        Err(broken) => {
                            let why = broken.to_string();
                            *error.lock().await = Some(broken);
                            Look::Hopeless(why)
                        }
                    }
                }
            })
            .await;
        waited.map_err(|late| error.into_inner().unwrap_or(ClusterError::Late(late)))
    }

    fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        let resource = kind.resource();
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        }
    }

    /// Asks, again while the server is too busy to answer.
    async fn ask<T, F, Fut>(&self, question: &str, mut ask: F) -> Result<T, ClusterError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = kube::Result<T>>,
    {
        let refused = Mutex::new(None);
        let waited = Wait::new(format!("an answer {question}"), ANSWER_BOUND)
            .every(AGAIN)
            .until(|| {
                let asked = ask();
                async {
                    let why = match asked.await {
                        Ok(answer) => return Look::Ready(answer),
                        Err(kube::Error::Api(status)) if passes(&status) => {
                            self.again(status.code);
                            return Look::Missing(status.message.clone());
                        }
                        Err(kube::Error::Api(status)) => ClusterError::Refused {
                            question: question.to_owned(),
                            status: status.code,
                            why: status.message.clone(),
                        },
                        Err(error @ kube::Error::SerdeError(_)) => ClusterError::Unreadable {
                            question: question.to_owned(),
                            why: words(&error),
                        },
                        Err(error) => {
                            self.again(0);
                            return Look::Missing(words(&error));
                        }
                    };
                    let look = Look::Hopeless(why.to_string());
                    *refused.lock().await = Some(why);
                    look
                }
            })
            .await;
        waited.map_err(|late| {
            let why = match late {
                WaitError::Bound { missing, .. } => missing,
                WaitError::Hopeless { why, .. } => why,
            };
            refused.into_inner().unwrap_or_else(|| ClusterError::Unreachable {
                question: question.to_owned(),
                why,
            })
        })
    }
}

/// The object as JSON, with the kind that items of a list do not carry.
fn value(object: &DynamicObject, kind: Kind, question: &str) -> Result<Value, ClusterError> {
    let mut value = serde_json::to_value(object).map_err(|error| ClusterError::Unreadable {
        question: question.to_owned(),
        why: error.to_string(),
    })?;
    if let Some(members) = value.as_object_mut() {
        members.insert("apiVersion".to_owned(), kind.api_version().into());
        members.insert("kind".to_owned(), kind.kind.into());
    }
    Ok(value)
}

/// The text of some bytes, decompressed where they are gzip.
fn unpacked(bytes: &[u8]) -> Result<String, String> {
    let mut text = String::new();
    if bytes.starts_with(&GZIP) {
        GzDecoder::new(bytes)
            .read_to_string(&mut text)
            .map_err(|error| error.to_string())?;
        return Ok(text);
    }
    String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Json;
    use axum::Router;
    use axum::http::StatusCode;
    use axum::response::IntoResponse as _;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use kube::core::DynamicObject;

    use super::*;

    /// An API server that answers with these statuses first, then with a version. A real one cannot be asked to.
    async fn hesitant(statuses: &'static [u16]) -> Cluster {
        let asked = Arc::new(AtomicUsize::new(0));
        let router = Router::new().fallback(move || {
            let status = statuses.get(asked.fetch_add(1, Ordering::Relaxed)).copied();
            async move {
                match status {
                    Some(code) => {
                        let status = StatusCode::from_u16(code).expect("a status");
                        let says = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                            "message": "please wait", "reason": "Busy", "code": code});
                        (status, Json(says)).into_response()
                    }
                    None => Json(json!({"major": "1", "minor": "37", "gitVersion": "v1.37.2", "gitCommit": "",
                        "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}))
                    .into_response(),
                }
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        let url = format!("http://{address}/").parse().expect("a URL");
        let mut config = kube::Config::new(url);
        // Its client would get over this much by itself, and it is ours that is looked at.
        config.default_retry = false;
        let client = kube::Client::try_from(config).expect("a client");
        Cluster::new(client)
    }

    #[tokio::test]
    async fn a_busy_server_is_asked_again_and_that_is_told() {
        let cluster = hesitant(&[429, 503, 503]).await;
        assert_eq!(cluster.version().await.expect("it answers in the end"), "v1.37.2");
        let told = cluster.busy().expect("it was busy");
        assert!(
            told.contains("3 times at first (with 429 1, with 503 2)"),
            "{told}"
        );
        let ready = hesitant(&[]).await;
        ready.version().await.expect("it answers");
        assert_eq!(ready.busy(), None);
    }

    #[tokio::test]
    async fn a_refusal_is_no_hesitation() {
        let cluster = hesitant(&[403]).await;
        let refused = cluster.version().await.expect_err("it refuses");
        assert!(
            matches!(refused, ClusterError::Refused { status: 403, .. }),
            "{refused}"
        );
        assert_eq!(cluster.busy(), None);
    }

    #[test]
    fn a_secret_is_read_compressed_or_not() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(b"global: {}\n").expect("memory can be written");
        let packed = packed.finish().expect("memory can be written");
        assert_eq!(unpacked(&packed).as_deref(), Ok("global: {}\n"));
        assert_eq!(unpacked(b"plain").as_deref(), Ok("plain"));
        assert!(
            unpacked(&packed[..packed.len() - 6]).is_err(),
            "a cut stream is no text"
        );
        assert!(unpacked(&[0xff, 0xfe]).is_err(), "bytes are no text");
    }

    #[test]
    fn an_item_of_a_list_gets_its_kind() {
        let object = DynamicObject::new("a", &Kind::SERVICE_MONITOR.resource());
        let value = value(&object, Kind::SERVICE_MONITOR, "for it").expect("an object is JSON");
        assert_eq!(text(&value, "/kind"), "ServiceMonitor");
        assert_eq!(text(&value, "/apiVersion"), "monitoring.coreos.com/v1");
        assert_eq!(text(&value, "/metadata/name"), "a");
    }
}
