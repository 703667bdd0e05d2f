//! Reaching hosts: one short probe a host decides for everything that would
//! be fetched from it.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indexmap::IndexMap;
use tokio::sync::OnceCell;
use url::Url;

use super::environment::Environment;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a probe may take in all.
const PROBE: Duration = Duration::from_secs(5);
/// How long a transfer may stand still.
const STILL: Duration = Duration::from_secs(30);

/// What a host's probe came to, once it is done.
type Probe = Arc<OnceCell<Result<(), String>>>;

/// An HTTP client that remembers which hosts answer.
#[derive(Debug)]
pub(super) struct Web {
    client: OnceCell<Result<reqwest::Client, String>>,
    probes: Mutex<IndexMap<String, Probe>>,
    proxy: Option<String>,
    no_proxy: Option<String>,
}

impl Web {
    /// A client that goes through the proxies the environment names.
    pub(super) fn new(environment: &Environment) -> Self {
        let text = |names: [&str; 2]| {
            names
                .iter()
                .find_map(|name| environment.variable(name))
                .map(|value| value.to_string_lossy().into_owned())
        };
        Self {
            client: OnceCell::new(),
            probes: Mutex::default(),
            proxy: text(["HTTPS_PROXY", "https_proxy"]),
            no_proxy: text(["NO_PROXY", "no_proxy"]),
        }
    }

    /// The client, made when it is first needed: reading the machine's certificates takes a while.
    pub(super) async fn client(&self) -> Result<&reqwest::Client, String> {
        let client = self.client.get_or_init(|| std::future::ready(self.build())).await;
        client.as_ref().map_err(Clone::clone)
    }

    fn build(&self) -> Result<reqwest::Client, String> {
        // An error says that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(STILL)
            .no_proxy();
        if let Some(proxy) = &self.proxy {
            let proxy = reqwest::Proxy::https(proxy)
                .map_err(|error| format!("HTTPS_PROXY={proxy} is no proxy: {}", innermost(&error)))?
                .no_proxy(self.no_proxy.as_deref().and_then(reqwest::NoProxy::from_string));
            builder = builder.proxy(proxy);
        }
        builder
            .build()
            .map_err(|error| format!("no HTTPS on this machine: {}", innermost(&error)))
    }

    /// Whether the address' host answers anything at all; asked once a host.
    pub(super) async fn reach(&self, url: &Url) -> Result<(), String> {
        let origin = url.origin().ascii_serialization();
        let probe = {
            let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(probes.entry(origin.clone()).or_default())
        };
        let outcome = probe.get_or_init(|| async {
            let answer = self.client().await?.head(&origin).timeout(PROBE).send().await;
            answer.map(drop).map_err(|error| {
                let host = url.host_str().unwrap_or(&origin);
                format!("{host} does not answer: {}", innermost(&error))
            })
        });
        outcome.await.clone()
    }
}

/// The innermost cause of an error, which names what failed.
pub(super) fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
