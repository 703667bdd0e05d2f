//! What a cluster is made with: kind, the engine and the image of its nodes.

use std::path::{Path, PathBuf};

use kind_rs::{Kind, Provider};

use super::engine::{Engine, EngineError};
use crate::catalog::Environment;

/// The variable that names the CLI, or the folder it is in.
const KIND: &str = "CONFORM_KIND_BIN";
/// The variable that names the image of the nodes.
const NODE_IMAGE: &str = "CONFORM_NODE_IMAGE";

/// Why there is nothing to make a cluster with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolsError {
    /// There is no kind.
    #[error(
        "kind is neither on PATH nor at {prepared}: install it, name it in {KIND}, or let `ci/airgap/prepare` make it",
        prepared = .prepared.display()
    )]
    NoKind {
        /// Where `ci/airgap/prepare` puts it.
        prepared: PathBuf,
    },
}

/// What a cluster is made with.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The CLI's program.
    pub program: PathBuf,
    /// The engine.
    pub engine: Engine,
}

impl Tools {
    /// What this environment has: kind from `CONFORM_KIND_BIN`, PATH, or where `ci/airgap/prepare` puts it, and Docker.
    pub fn find(environment: &Environment) -> Result<Self, ToolsError> {
        let prepared = prepared_kind(&environment.cache_folder());
        let program = environment
            .variable(KIND)
            .map(|named| {
                let named = PathBuf::from(named);
                if named.is_dir() { named.join("kind") } else { named }
            })
            .or_else(|| environment.look_up("kind"))
            .or_else(|| prepared.is_file().then(|| prepared.clone()))
            .ok_or(ToolsError::NoKind { prepared })?;
        Ok(Self {
            program,
            engine: Engine::new(Provider::Docker),
        })
    }

    /// The CLI.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::new(&self.program)
    }

    /// The image of the nodes: that of `CONFORM_NODE_IMAGE`, or the one that `ci/airgap/node` made; none
    /// where kind's own is to be taken, which a registry has.
    pub async fn node_image(&self, environment: &Environment) -> Result<Option<String>, EngineError> {
        if let Some(image) = environment.variable(NODE_IMAGE) {
            return Ok(Some(image.to_string_lossy().into_owned()));
        }
        let listed = self
            .engine
            .ask(&[
                "image",
                "ls",
                "--filter",
                "label=conform.recipe",
                "--filter",
                "reference=kindest/node",
                "--format",
                "{{.Repository}}:{{.Tag}}",
            ])
            .await?;
        // The newest first; an image whose name went to a newer one has no tag.
        let named = |line: &&str| !line.is_empty() && !line.contains("<none>");
        Ok(listed.lines().map(str::trim).find(named).map(str::to_owned))
    }
}

/// Where `ci/airgap/prepare` puts kind.
fn prepared_kind(cache: &Path) -> PathBuf {
    cache.join("airgap").join("bin").join("kind")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn kind_is_the_named_one_or_that_of_path_or_the_prepared_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, cache) = (folder.path().join("bin"), folder.path().join("cache"));
        let find = |variables: &[(&str, &Path)]| {
            Tools::find(&Environment::new(variables.iter().copied(), 1)).map(|tools| tools.program)
        };
        let usual = [("PATH", path.as_path()), ("CONFORM_CACHE", cache.as_path())];
        let error = find(&usual).unwrap_err().to_string();
        assert!(error.contains("ci/airgap/prepare"), "{error}");
        for place in [prepared_kind(&cache), path.join("kind")] {
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(&place, "").unwrap();
            fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
            assert_eq!(find(&usual).unwrap(), place);
        }
        let named = [usual[0], usual[1], (KIND, Path::new("/opt/kind"))];
        assert_eq!(find(&named).unwrap(), Path::new("/opt/kind"));
    }
}
