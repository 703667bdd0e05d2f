//! The commands of the CLI.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::command::{Invocation, Printed};
use crate::config::Cluster;
use crate::error::KindError;
use crate::name::ClusterName;
use crate::provider::Provider;
use crate::step::{Step, StepState};

/// How long each command may take before it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// `create cluster`, without the time it is told to wait for readiness; pulling the node's image included.
    pub create: Duration,
    /// `delete cluster`.
    pub delete: Duration,
    /// `load docker-image` and `load image-archive`.
    pub load: Duration,
    /// `export logs`.
    pub logs: Duration,
    /// What only asks: `version`, `get`, `export kubeconfig`.
    pub ask: Duration,
}

impl Default for Bounds {
    /// Ten minutes to create (the node's image is about 1 GB), two to delete, ten to load, five for logs,
    /// 30 seconds to ask.
    fn default() -> Self {
        Self {
            create: Duration::from_mins(10),
            delete: Duration::from_mins(2),
            load: Duration::from_mins(10),
            logs: Duration::from_mins(5),
            ask: Duration::from_secs(30),
        }
    }
}

/// The CLI, and how it is started.
#[derive(Debug, Clone)]
pub struct Kind {
    program: PathBuf,
    launcher: Vec<OsString>,
    provider: Option<Provider>,
    variables: Vec<(OsString, OsString)>,
    bounds: Bounds,
}

impl Kind {
    /// The CLI of this path, or of this name on PATH.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            launcher: Vec::new(),
            provider: None,
            variables: Vec::new(),
            bounds: Bounds::default(),
        }
    }

    /// Takes this engine, rather than the one that kind finds.
    #[must_use]
    pub fn provider(mut self, provider: Provider) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Starts the CLI by way of another program, which is given it with its arguments: `sudo -n`, or
    /// `setpriv --pdeathsig KILL --`, with which it ends even when this process is killed.
    #[must_use]
    pub fn behind<T: Into<OsString>>(mut self, launcher: impl IntoIterator<Item = T>) -> Self {
        self.launcher = launcher.into_iter().map(Into::into).collect();
        self
    }

    /// Sets a variable in the CLI's environment, which is this process's otherwise; for example `DOCKER_HOST`.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Gives the commands these bounds.
    #[must_use]
    pub fn bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// The CLI's version, for example `v0.33.0`.
    pub async fn version(&self) -> Result<String, KindError> {
        let command = self.command(["version"], self.bounds.ask);
        let said = command.run(ignore).await?.out;
        let mut words = said.split_whitespace();
        match (words.next(), words.next()) {
            (Some("kind"), Some(version)) => Ok(version.to_owned()),
            _ => Err(KindError::Strange {
                command: command.typed(),
                said: said.trim().to_owned(),
                wanted: "`kind`, a version and more",
            }),
        }
    }

    /// Every cluster of the engine, whoever made it.
    pub async fn clusters(&self) -> Result<Vec<ClusterName>, KindError> {
        let printed = self
            .command(["get", "clusters"], self.bounds.ask)
            .run(ignore)
            .await?;
        Ok(lines(&printed).map(ClusterName::listed).collect())
    }

    /// The containers of a cluster's nodes, its load balancer among them where it has one. A cluster that
    /// is not there has none.
    pub async fn nodes(&self, cluster: &ClusterName) -> Result<Vec<String>, KindError> {
        let command = self.of(["get", "nodes"], cluster, self.bounds.ask);
        Ok(lines(&command.run(ignore).await?).map(str::to_owned).collect())
    }

    /// Creates a cluster.
    ///
    /// kind deletes what it made when it fails, unless it is to be retained. It does not when it is
    /// killed: after a bound or a drop call [`Kind::delete`].
    pub async fn create(&self, create: &Create) -> Result<Created, KindError> {
        self.create_watched(create, ignore).await
    }

    /// As [`Kind::create`], and tells of each step as it begins and ends.
    pub async fn create_watched(
        &self,
        create: &Create,
        mut watch: impl FnMut(&Step),
    ) -> Result<Created, KindError> {
        let mut command = self.of(
            ["create", "cluster"],
            &create.name,
            self.bounds.create.saturating_add(create.wait),
        );
        let arguments = &mut command.arguments;
        arguments.push(option("--kubeconfig=", &create.kubeconfig));
        arguments.push("--config=-".into());
        arguments.push(format!("--wait={}ms", create.wait.as_millis()).into());
        if let Some(image) = &create.image {
            arguments.push(format!("--image={image}").into());
        }
        if create.retain {
            arguments.push("--retain".into());
        }
        command.input = create.config.to_yaml()?;
        let began = Instant::now();
        let mut created = Created {
            took: Duration::ZERO,
            steps: Vec::new(),
            ready: !create.wait.is_zero(),
        };
        let mut step_began = began;
        command
            .run(|step| {
                match step.state {
                    StepState::Begun => step_began = Instant::now(),
                    StepState::Done => created.steps.push((step.name.clone(), step_began.elapsed())),
                    // The only step whose failure is not the command's is the wait for readiness
                    // (kind v0.33.0, pkg/cluster/internal/create/actions/waitforready).
                    StepState::Failed => created.ready = false,
                }
                watch(step);
            })
            .await?;
        created.took = began.elapsed();
        Ok(created)
    }

    /// Deletes a cluster, and its context from `kubeconfig`, where that file has it. A cluster that is not
    /// there is no error.
    pub async fn delete(&self, cluster: &ClusterName, kubeconfig: &Path) -> Result<(), KindError> {
        let mut command = self.of(["delete", "cluster"], cluster, self.bounds.delete);
        command.arguments.push(option("--kubeconfig=", kubeconfig));
        command.run(ignore).await.map(drop)
    }

    /// Loads images of the engine into nodes, those that a node lacks. kind v0.33.0 takes them from Docker,
    /// whatever the provider is, and by way of a file in TMPDIR as large as all of them.
    pub async fn load_images<T: AsRef<str>>(
        &self,
        cluster: &ClusterName,
        images: impl IntoIterator<Item = T>,
        into: &Nodes,
    ) -> Result<(), KindError> {
        let mut command = self.of(["load", "docker-image"], cluster, self.bounds.load);
        into.narrow(&mut command.arguments);
        command.arguments.push("--".into());
        command
            .arguments
            .extend(images.into_iter().map(|image| image.as_ref().into()));
        command.run(ignore).await.map(drop)
    }

    /// Loads the images of an archive, as `docker save` and `podman save` write it, into nodes, whether
    /// they have them or not.
    pub async fn load_archive(
        &self,
        cluster: &ClusterName,
        archive: &Path,
        into: &Nodes,
    ) -> Result<(), KindError> {
        let mut command = self.of(["load", "image-archive"], cluster, self.bounds.load);
        into.narrow(&mut command.arguments);
        command.arguments.extend(["--".into(), archive.into()]);
        command.run(ignore).await.map(drop)
    }

    /// The kubeconfig of a cluster, as text.
    pub async fn kubeconfig(&self, cluster: &ClusterName, from: Side) -> Result<String, KindError> {
        let mut command = self.of(["get", "kubeconfig"], cluster, self.bounds.ask);
        from.say(&mut command.arguments);
        Ok(command.run(ignore).await?.out)
    }

    /// Adds a cluster to a kubeconfig file, which is made where there is none, and makes it the current one.
    pub async fn export_kubeconfig(
        &self,
        cluster: &ClusterName,
        kubeconfig: &Path,
        from: Side,
    ) -> Result<(), KindError> {
        let mut command = self.of(["export", "kubeconfig"], cluster, self.bounds.ask);
        command.arguments.push(option("--kubeconfig=", kubeconfig));
        from.say(&mut command.arguments);
        command.run(ignore).await.map(drop)
    }

    /// Writes the logs of a cluster's nodes, their journals and pods into a folder, which is made where
    /// there is none.
    pub async fn export_logs(&self, cluster: &ClusterName, folder: &Path) -> Result<(), KindError> {
        let mut command = self.of(["export", "logs"], cluster, self.bounds.logs);
        command.arguments.extend(["--".into(), folder.into()]);
        command.run(ignore).await.map(drop)
    }

    /// A command about a cluster.
    fn of(&self, words: [&str; 2], cluster: &ClusterName, bound: Duration) -> Invocation {
        let mut command = self.command(words, bound);
        command.arguments.push(format!("--name={cluster}").into());
        command
    }

    fn command<const N: usize>(&self, words: [&str; N], bound: Duration) -> Invocation {
        let mut arguments = self.launcher.clone();
        arguments.push(self.program.clone().into());
        let program = arguments.remove(0).into();
        arguments.extend(words.map(OsString::from));
        let mut variables = self.variables.clone();
        if let Some(provider) = self.provider {
            variables.push(("KIND_EXPERIMENTAL_PROVIDER".into(), provider.as_str().into()));
        }
        Invocation {
            program,
            arguments,
            variables,
            input: String::new(),
            bound,
        }
    }
}

/// A cluster to create.
#[derive(Debug, Clone)]
pub struct Create {
    /// Its name.
    pub name: ClusterName,
    /// The file that its kubeconfig is written to, or added to. There is no default: kind's is the user's own.
    pub kubeconfig: PathBuf,
    /// What it is to be.
    pub config: Cluster,
    /// The image of every node, over those of the configuration.
    pub image: Option<String>,
    /// How long kind waits for the control plane's nodes to be ready; zero for not at all.
    pub wait: Duration,
    /// Whether the nodes of a cluster that failed are kept, to be looked at.
    pub retain: bool,
}

impl Create {
    /// A cluster of kind's defaults, without waiting for its nodes to be ready.
    pub fn new(name: ClusterName, kubeconfig: impl Into<PathBuf>) -> Self {
        Self {
            name,
            kubeconfig: kubeconfig.into(),
            config: Cluster::default(),
            image: None,
            wait: Duration::ZERO,
            retain: false,
        }
    }
}

/// A cluster that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// How long it took.
    pub took: Duration,
    /// The steps that were done, in kind's words, and how long each took.
    pub steps: Vec<(String, Duration)>,
    /// Whether the control plane's nodes were seen ready. kind does not fail where they are not after the
    /// wait; without a wait nobody looked.
    pub ready: bool,
}

/// Which nodes of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Nodes {
    /// All of them.
    #[default]
    All,
    /// Those of these names, which are the names of their containers.
    Named(Vec<String>),
}

impl Nodes {
    fn narrow(&self, arguments: &mut Vec<OsString>) {
        if let Self::Named(names) = self {
            arguments.push(format!("--nodes={}", names.join(",")).into());
        }
    }
}

/// Where a kubeconfig is used, which decides the apiserver's address in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Side {
    /// On the host.
    #[default]
    Host,
    /// In a container of the nodes' network.
    Containers,
}

impl Side {
    fn say(self, arguments: &mut Vec<OsString>) {
        if self == Self::Containers {
            arguments.push("--internal".into());
        }
    }
}

fn ignore(_: &Step) {}

fn option(name: &str, value: &(impl AsRef<OsStr> + ?Sized)) -> OsString {
    let mut option = OsString::from(name);
    option.push(value);
    option
}

fn lines(printed: &Printed) -> impl Iterator<Item = &str> {
    printed.out.lines().map(str::trim).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests;
