//! What the configurations of the Collector and of Jaeger v2 have in common: the Collector's format.

use std::net::SocketAddr;

use indexmap::IndexMap;

use super::changes::Changes;
use super::document::Document;
use super::environment::environment;
use crate::deploy::DeployError;
use crate::deploy::kinds::View;
use crate::deploy::kinds::opentelemetry_collector::OpenTelemetryCollectorSpec;

/// Why an address differs.
pub(super) const LOCAL: &str = "the process listens on loopback, on a port of the run";

/// Why TLS and credentials are gone.
pub(super) const PLAIN: &str =
    "the target's servers speak plain HTTP on loopback and ask nobody who they are";

/// The configuration of a Collector object.
pub(super) fn config<'t>(view: &View<'t, OpenTelemetryCollectorSpec>) -> Result<Document<'t>, DeployError> {
    if !view.spec.config.is_object() {
        return Err(view.object.wrong(
            "spec.config",
            "not a mapping; the Collector's configuration stands here",
        ));
    }
    Ok(Document {
        object: view.object,
        place: "spec.config".to_owned(),
        content: view.spec.config.clone(),
    })
}

/// Refuses components that have addresses or files rendering does not know.
pub(super) fn known(document: &Document<'_>, section: &str, kinds: &[&str]) -> Result<(), DeployError> {
    for id in document.names(&[section]) {
        let kind = id.split('/').next().unwrap_or_default();
        if !kinds.contains(&kind) {
            let known: Vec<_> = kinds.iter().map(|k| format!("`{k}`")).collect();
            return Err(document.wrong(
                &[section, &id],
                format!(
                    "rendering does not know which addresses and files `{kind}` has; it knows {}: use one of them, \
                     or add it to the rendering",
                    known.join(", ")
                ),
            ));
        }
    }
    Ok(())
}

/// Moves a listener, if what it belongs to is declared.
pub(super) fn listen(document: &mut Document<'_>, path: &[&str], address: SocketAddr, changes: &mut Changes) {
    if document.get(path).is_some() {
        let mut endpoint = path.to_vec();
        endpoint.push("endpoint");
        document.set(
            &endpoint,
            address.to_string(),
            "the server's default",
            changes,
            LOCAL,
        );
    }
}

/// Moves a listener of an extension, which would listen on a default address without the block.
pub(super) fn listen_of(
    document: &mut Document<'_>,
    extension: &str,
    block: &str,
    address: SocketAddr,
    changes: &mut Changes,
) -> Result<(), DeployError> {
    if document.get(&["extensions", extension]).is_some() {
        let path = ["extensions", extension, block];
        if document.get(&path).is_none() {
            return Err(document.wrong(
                &path,
                "missing; the extension listens on a default port without it: write its `endpoint`",
            ));
        }
        listen(document, &path, address, changes);
    }
    Ok(())
}

/// Moves the endpoint of the server's own metrics.
pub(super) fn telemetry(
    document: &mut Document<'_>,
    address: SocketAddr,
    changes: &mut Changes,
) -> Result<(), DeployError> {
    let path = [
        "service",
        "telemetry",
        "metrics",
        "readers",
        "0",
        "pull",
        "exporter",
        "prometheus",
    ];
    if document.get(&path).is_none() {
        return Err(document.wrong(
            &path,
            "missing; the server's own metrics are scraped here: declare a `pull` reader with a `prometheus` exporter",
        ));
    }
    let mut host = path.to_vec();
    host.push("host");
    document.set(&host, address.ip().to_string(), "localhost", changes, LOCAL);
    let mut port = path.to_vec();
    port.push("port");
    document.set(&port, address.port(), "8888", changes, LOCAL);
    Ok(())
}

/// The arguments: the file and what the object adds.
pub(super) fn arguments(
    view: &View<'_, OpenTelemetryCollectorSpec>,
    file: &str,
) -> Result<Vec<(String, Option<String>)>, DeployError> {
    let mut arguments = vec![("--config".to_owned(), Some(file.to_owned()))];
    for (name, value) in &view.spec.args {
        if name == "config" {
            return Err(view.object.wrong(
                "spec.args.config",
                "the operator sets this argument itself from `spec.config`; remove it here",
            ));
        }
        arguments.push((format!("--{name}"), Some(value.clone()).filter(|v| !v.is_empty())));
    }
    Ok(arguments)
}

/// The variables of the object.
pub(super) fn variables(
    view: &View<'_, OpenTelemetryCollectorSpec>,
    changes: &mut Changes,
) -> Vec<(String, String)> {
    environment(view.object, "spec.env", &view.spec.env, |_| None, changes)
}

/// Files of one.
pub(super) fn one_file(name: &str, text: String) -> IndexMap<String, String> {
    IndexMap::from([(name.to_owned(), text)])
}
