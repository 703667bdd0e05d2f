//! Jaeger's index cleaner out of the tree's `CronJob`: it deletes what is older than the retention.

use url::Url;

use crate::deploy::kinds::cron_job::CronJobSpec;
use crate::deploy::kinds::pod::Container;
use crate::deploy::kinds::{View, named};
use crate::deploy::{DeployError, DeployTree};
use crate::render::changes::Changes;
use crate::render::environment::environment;
use crate::render::pipelines::PLAIN;
use crate::render::{RenderError, Rendered};

/// Name of the `CronJob`.
const JOB: &str = "jaeger-index-cleaner";

/// The cleaner as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexCleaner {
    /// Its first argument: how many days are kept, today among them. What was created before 00:00 UTC of
    /// the day `days - 1` days ago is deleted (Jaeger v2.13, cmd/es-index-cleaner/app/cutoff_time.go).
    pub days: u32,
    /// When it runs, in cron's notation.
    pub schedule: String,
}

/// What to render the cleaner for.
#[derive(Debug, Clone)]
pub struct IndexCleanerRequest<'a> {
    /// The target's Elasticsearch.
    pub storage: &'a Url,
}

/// The cleaner as declared.
pub fn declared(tree: &DeployTree) -> Result<IndexCleaner, RenderError> {
    let view = view(tree)?;
    let (days, _) = arguments(&view)?;
    Ok(IndexCleaner {
        days,
        schedule: view.object.text("/spec/schedule").to_owned(),
    })
}

/// Renders one run of the cleaner.
pub fn render(tree: &DeployTree, request: &IndexCleanerRequest<'_>) -> Result<Rendered, RenderError> {
    let view = view(tree)?;
    let mut changes = Changes::default();
    changes.cluster_only(&view);
    let (days, server) = arguments(&view)?;
    let local = request.storage.as_str().trim_end_matches('/').to_owned();
    changes.add(
        view.object,
        format!("{AT}.args[1]"),
        server,
        local.as_str(),
        "no Kubernetes Service answers a plain process; the target's Elasticsearch is cleaned",
    );
    let environment = environment(
        view.object,
        &format!("{AT}.env"),
        &container(&view)?.env,
        |name| {
            let credential = name.starts_with("ES_TLS") || matches!(name, "ES_USERNAME" | "ES_PASSWORD");
            credential.then_some(PLAIN)
        },
        &mut changes,
    );
    Ok(Rendered {
        arguments: vec![(days.to_string(), None), (local, None)],
        environment,
        changed_values: changes.0,
        ..Rendered::default()
    })
}

const AT: &str = "spec.jobTemplate.spec.template.spec.containers[0]";

fn view(tree: &DeployTree) -> Result<View<'_, CronJobSpec>, DeployError> {
    named(tree, JOB, "to clean Jaeger's indices")
}

fn container<'v>(view: &'v View<'_, CronJobSpec>) -> Result<&'v Container, DeployError> {
    match view.spec.job_template.spec.template.spec.containers.as_slice() {
        [only] => Ok(only),
        _ => Err(view.object.wrong(
            "spec.jobTemplate.spec.template.spec.containers",
            "the cleaner is one container; remove the others",
        )),
    }
}

/// Days and server.
fn arguments<'v>(view: &'v View<'_, CronJobSpec>) -> Result<(u32, &'v str), DeployError> {
    let wrong = || {
        view.object.wrong(
            format!("{AT}.args"),
            "the cleaner takes the number of days and the server, and its options as variables in `env`; \
             write for example [\"7\", \"https://elasticsearch.monitoring:9200\"]",
        )
    };
    match container(view)?.args.as_slice() {
        [days, server] => Ok((days.parse().map_err(|_| wrong())?, server)),
        _ => Err(wrong()),
    }
}
