//! The containers target: the local target with servers in containers of their images, in the tree's versions or in
//! others. Everything else is as with processes, so cases and their bounds are the same.
//!
//! Elasticsearch and Loki stay processes: what is asked of versions is metrics, alerts and traces.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;
use testcontainers::GenericImage;
use testcontainers::bollard::Docker;
use testcontainers::core::client::docker_client_instance;
use testcontainers::runners::AsyncRunner;

use super::process::container::{self, parts};
use crate::catalog::{Acquired, Acquisition, Catalog, Component, Unavailable};
use crate::files;
use crate::progress::Progress;
use crate::units::format_duration;

/// Components whose servers run in containers.
pub const CONTAINED: [&str; 4] = ["prometheus", "alertmanager", "jaeger", "otel-collector"];
/// What to do where an image is in no registry that answers.
const NO_IMAGE: &str = "name one that the engine has or can pull with --image; `ci/airgap/prepare components` makes \
                        the tree's where no registry is reached";

/// How long an engine may take to say that it is there.
const ANSWER_BOUND: Duration = Duration::from_secs(20);
/// Longest that pulling an image may take.
const PULL_BOUND: Duration = Duration::from_mins(5);
/// The file among the runs that says that containers were started, so that an engine that does not answer is not
/// taken for one that has none.
const MARK: &str = "containers";

/// Why there are no containers.
#[derive(Debug, thiserror::Error)]
pub enum ContainersError {
    /// No engine answers.
    #[error("{why}: no container engine answers; start one, or run without --target containers")]
    Engine {
        /// What was said instead.
        why: String,
    },
    /// An image that no component of the stack is made of.
    #[error("{reference} is the image of no server that runs in a container: those are {known}")]
    Foreign {
        /// As given.
        reference: String,
        /// Images of the catalog.
        known: String,
    },
    /// The runs' folder cannot be written to.
    #[error("{0}")]
    Mark(String),
    /// What a killed run left cannot be removed.
    #[error("{why}: container {id} of a killed run cannot be removed")]
    Stuck {
        /// The container.
        id: String,
        /// Why.
        why: String,
    },
}

/// The images of executables, by the executable's name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Images(IndexMap<String, String>);

impl Images {
    /// The image of an executable, none where it is on this machine.
    #[must_use]
    pub fn of(&self, executable: &str) -> Option<&str> {
        self.0.get(executable).map(String::as_str)
    }
}

/// The images that were asked for, by component: those named, else the tree's.
pub fn chosen(catalog: &Catalog, named: &[String]) -> Result<IndexMap<String, String>, ContainersError> {
    let contained = || CONTAINED.iter().filter_map(|name| catalog.component(name));
    let mut chosen: IndexMap<String, String> = contained()
        .filter_map(|component| Some((component.name.clone(), component.image.clone()?)))
        .collect();
    for reference in named {
        let (repository, _) = parts(reference);
        let component = contained().find(|component| {
            let image = component.image.as_deref().unwrap_or_default();
            parts(image).0 == repository
        });
        let Some(component) = component else {
            return Err(ContainersError::Foreign {
                reference: reference.clone(),
                known: chosen.values().cloned().collect::<Vec<_>>().join(", "),
            });
        };
        chosen.insert(component.name.clone(), reference.clone());
    }
    Ok(chosen)
}

/// Whether an engine answers.
async fn engine() -> Result<Docker, ContainersError> {
    let failed = |why| ContainersError::Engine { why };
    let engine = docker_client_instance()
        .await
        .map_err(|error| failed(container::words(&error)))?;
    match tokio::time::timeout(ANSWER_BOUND, engine.ping()).await {
        Ok(Ok(_)) => Ok(engine),
        Ok(Err(error)) => Err(failed(container::words(&error))),
        Err(_) => Err(failed(format!(
            "it says nothing within {}",
            format_duration(ANSWER_BOUND)
        ))),
    }
}

/// Remembers among the runs that containers are about to be started.
pub fn mark(runs: &Path) -> Result<(), ContainersError> {
    let file = runs.join(MARK);
    fs::create_dir_all(runs)
        .and_then(|()| fs::write(&file, ""))
        .map_err(|error| ContainersError::Mark(files::words(&error, "writing", &file)))
}

/// Looks for the images of these components and pulls those that are not there; what of them can be had.
pub async fn acquire(
    catalog: &Catalog,
    chosen: &IndexMap<String, String>,
    components: &[&str],
    progress: &Progress,
) -> Result<(Acquisition, Images), ContainersError> {
    let engine = engine().await?;
    let mut acquisition = Acquisition::new();
    let mut images = Images::default();
    for name in components {
        let (Some(component), Some(reference)) = (catalog.component(name), chosen.get(*name)) else {
            continue;
        };
        progress.step(name, format!("looking for {reference}"));
        let found = executables(&engine, component, reference).await;
        let acquired = match found {
            Ok(found) => {
                let paths = found
                    .iter()
                    .map(|(executable, (path, _))| (executable.clone(), path.clone()))
                    .collect();
                images.0.extend(
                    found
                        .into_iter()
                        .map(|(executable, (_, image))| (executable, image)),
                );
                Ok(Acquired {
                    component: component.name.clone(),
                    version: parts(reference).1.trim_start_matches('v').to_owned(),
                    origin: format!("image {reference}"),
                    made: false,
                    executables: paths,
                })
            }
            Err(reason) => Err(Unavailable {
                component: component.name.clone(),
                reason,
                remedy: NO_IMAGE.to_owned(),
            }),
        };
        acquisition.insert(component.name.clone(), acquired);
    }
    Ok((acquisition, images))
}

/// The executables of a component with their paths and images: the server is what its image starts, a tool has an
/// image of its own or stands beside the server.
async fn executables(
    engine: &Docker,
    component: &Component,
    reference: &str,
) -> Result<IndexMap<String, (PathBuf, String)>, String> {
    let server = entrypoint(engine, reference).await?;
    let mut found = IndexMap::new();
    for (place, executable) in component.executables.keys().enumerate() {
        let own = component
            .further_images
            .iter()
            .find(|image| parts(image).0.ends_with(executable.as_str()));
        let (path, image) = match own {
            _ if place == 0 => (server.clone(), reference.to_owned()),
            Some(own) => (entrypoint(engine, own).await?, own.clone()),
            None => (server.with_file_name(executable), reference.to_owned()),
        };
        found.insert(executable.clone(), (path, image));
    }
    Ok(found)
}

/// What an image starts; the image is pulled where the engine does not have it.
async fn entrypoint(engine: &Docker, reference: &str) -> Result<PathBuf, String> {
    let (name, tag) = parts(reference);
    if engine.inspect_image(reference).await.is_err() {
        let pulled = GenericImage::new(name, tag).pull_image();
        let late = || format!("it took longer than {}", format_duration(PULL_BOUND));
        tokio::time::timeout(PULL_BOUND, pulled)
            .await
            .map_err(|_| late())
            .and_then(|pulled| pulled.map(drop).map_err(|error| container::words(&error)))
            .map_err(|why| format!("{why}: the engine has no image {reference} and cannot pull it"))?;
    }
    let image = engine.inspect_image(reference).await.map_err(|error| {
        format!(
            "{}: image {reference} cannot be examined",
            container::words(&error)
        )
    })?;
    image
        .config
        .and_then(|config| config.entrypoint)
        .and_then(|entrypoint| entrypoint.into_iter().next())
        .map(PathBuf::from)
        .ok_or_else(|| format!("image {reference} names no program that it starts"))
}

/// Removes the containers that killed runs left; what each was made of. Where no engine answers there are none,
/// unless some were started.
pub async fn sweep(runs: &Path) -> Result<Vec<String>, ContainersError> {
    let file = runs.join(MARK);
    let engine = match engine().await {
        Ok(engine) => engine,
        Err(_) if !file.exists() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let ours = container::ours(&engine)
        .await
        .map_err(|error| ContainersError::Engine {
            why: container::words(&error),
        })?;
    let (alive, dead): (Vec<_>, Vec<_>) = ours.into_iter().partition(|one| one.owner.alive());
    let mut removed = Vec::new();
    for one in dead {
        container::remove(&engine, &one.id)
            .await
            .map_err(|error| ContainersError::Stuck {
                id: one.id.clone(),
                why: container::words(&error),
            })?;
        removed.push(one.image);
    }
    if alive.is_empty() {
        let _ = fs::remove_file(file);
    }
    Ok(removed)
}

/// Forgets among the runs that containers were started, where none is left; after a run that removed its own.
pub async fn ended(runs: &Path) {
    if let Ok(engine) = engine().await
        && container::ours(&engine).await.is_ok_and(|ours| ours.is_empty())
    {
        let _ = fs::remove_file(runs.join(MARK));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/catalog.yaml");
        Catalog::load(&path).unwrap()
    }

    #[test]
    fn an_image_that_is_named_replaces_that_of_its_component() {
        let catalog = catalog();
        let usual = chosen(&catalog, &[]).unwrap();
        assert_eq!(usual.len(), CONTAINED.len());
        let named = "quay.io/prometheus/prometheus:v3.0.0".to_owned();
        let other = chosen(&catalog, std::slice::from_ref(&named)).unwrap();
        assert_eq!(other["prometheus"], named);
        assert_eq!(other["jaeger"], usual["jaeger"]);
    }

    #[test]
    fn an_image_of_something_else_is_refused_with_those_that_are_known() {
        let error = chosen(&catalog(), &["docker.io/library/redis:7".to_owned()]).unwrap_err();
        let says = error.to_string();
        assert!(
            says.starts_with("docker.io/library/redis:7 is the image of no server"),
            "{says}"
        );
        assert!(says.contains("quay.io/prometheus/alertmanager"), "{says}");
    }
}
