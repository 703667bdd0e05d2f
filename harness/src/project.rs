//! The files a run starts from: contract, deploy tree, shapes and catalog.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalog::{Catalog, CatalogError};
use crate::contract::{Contract, ContractError};
use crate::deploy::{DeployError, DeployTree};
use crate::render::{self, RenderError};
use crate::shapes::{Shapes, ShapesError};

/// Where the files are, where they differ from the usual places.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Places {
    /// Folder that holds fixtures/ and deploy/ [default: found from the current folder upwards]
    #[arg(long, global = true, env = "CONFORM_ROOT", value_name = "FOLDER")]
    pub root: Option<PathBuf>,
    /// The contract [default: fixtures/contract.yaml]
    #[arg(long, global = true, value_name = "FILE")]
    pub contract: Option<PathBuf>,
    /// The deploy tree [default: deploy]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub deploy: Option<PathBuf>,
    /// The catalog of servers [default: fixtures/catalog.yaml]
    #[arg(long, global = true, value_name = "FILE")]
    pub catalog: Option<PathBuf>,
}

/// Everything a run starts from, read and checked.
#[derive(Debug, Clone)]
pub struct Project {
    /// The folder that holds fixtures/ and deploy/.
    pub root: PathBuf,
    /// What was promised.
    pub contract: Arc<Contract>,
    /// What is declared.
    pub tree: Arc<DeployTree>,
    /// What emission plays.
    pub shapes: Arc<Shapes>,
    /// Which server is which binary.
    pub catalog: Arc<Catalog>,
}

/// Why a run cannot start from its files.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// No folder with fixtures/ and deploy/ was found.
    #[error("no folder from {from} upwards holds fixtures/contract.yaml; give it with --root", from = .from.display())]
    NoRoot {
        /// Where the search began.
        from: PathBuf,
    },
    /// The folder that was given is another one.
    #[error("{root} holds no fixtures; give the folder that holds fixtures/ and deploy/ with --root", root = .root.display())]
    WrongRoot {
        /// The folder.
        root: PathBuf,
    },
    /// The contract cannot be used.
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// The deploy tree cannot be used.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// The deploy tree's objects do not fit together or the shapes.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The shapes cannot be used.
    #[error(transparent)]
    Shapes(#[from] ShapesError),
    /// The catalog cannot be used.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Places {
    /// The folder that holds fixtures/ and deploy/: as given, else the first from the current
    /// folder upwards, else `built_from`, the folder this program was built from.
    pub fn root(&self, built_from: &Path) -> Result<PathBuf, ProjectError> {
        if let Some(root) = &self.root {
            return if root.join("fixtures").is_dir() {
                Ok(root.clone())
            } else {
                Err(ProjectError::WrongRoot { root: root.clone() })
            };
        }
        let here = std::env::current_dir().unwrap_or_default();
        let holds = |folder: &Path| folder.join("fixtures").join("contract.yaml").is_file();
        let found = here
            .ancestors()
            .chain([built_from])
            .find(|folder| holds(folder))
            .map(Path::to_owned);
        found.ok_or(ProjectError::NoRoot { from: here })
    }
}

impl Project {
    /// Reads and checks everything; `built_from` as in [`Places::root`].
    pub fn load(places: &Places, built_from: &Path) -> Result<Self, ProjectError> {
        let root = places.root(built_from)?;
        let fixtures = root.join("fixtures");
        let or = |given: &Option<PathBuf>, usual: PathBuf| given.clone().unwrap_or(usual);
        let project = Self {
            contract: Arc::new(Contract::load(&or(
                &places.contract,
                fixtures.join("contract.yaml"),
            ))?),
            tree: Arc::new(DeployTree::load(&or(&places.deploy, root.join("deploy")))?),
            shapes: Arc::new(Shapes::load(&fixtures.join("shapes.yaml"))?),
            catalog: Arc::new(Catalog::load(&or(
                &places.catalog,
                fixtures.join("catalog.yaml"),
            ))?),
            root,
        };
        project.examine()?;
        Ok(project)
    }

    /// Reads all that a stack is rendered from, so that what cannot be read is said before anything is
    /// obtained or started, and by every command alike.
    fn examine(&self) -> Result<(), ProjectError> {
        self.tree.rule_groups()?;
        render::prometheus::targets(&self.tree, &self.shapes)?;
        render::alertmanager::routes(&self.tree)?;
        Ok(())
    }

    /// The fixtures folder.
    #[must_use]
    pub fn fixtures(&self) -> PathBuf {
        self.root.join("fixtures")
    }
}
