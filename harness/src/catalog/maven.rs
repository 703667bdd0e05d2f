//! Elasticsearch assembled from Maven artifacts, with a launcher and plugins of ours.
//!
//! The jars are resolved by the user's own `mvn` with the user's own settings
//! and taken only with the hashes of the lock file; our Java is compiled
//! against them. What comes out has the layout and the command line of the
//! vendor's distribution. fixtures/elasticsearch/README.md says what it lacks.

mod lock;
mod pom;
mod tools;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::cache::{self, CacheError, Making};
use super::entry::MavenAssembly;
use super::environment::Environment;
use super::process::{Ended, Run, RunError, run};
use crate::progress::Progress;
use crate::units::format_duration;
use lock::{Jar, Lock};
use tools::Jdk;
pub(super) use tools::{Tools, java_tool};

/// How long Maven may take to resolve the jars; 53 MB.
const RESOLVE: Duration = Duration::from_mins(15);
/// How long one run of the compiler or of `jar` may take.
const COMPILE: Duration = Duration::from_mins(5);

/// Why an assembly does not serve.
#[derive(Debug, thiserror::Error)]
pub(super) enum MavenError {
    /// There is no Maven.
    #[error("there is no mvn on PATH")]
    NoMaven,
    /// There is no Java development kit.
    #[error("there is no {tool} {place}")]
    NoTool {
        /// The tool.
        tool: &'static str,
        /// Where it was looked for.
        place: String,
    },
    /// Java is too old, or does not say what it is.
    #[error("{program} says `{said}`, Java {needed} or newer is wanted", program = .program.display())]
    TooOld {
        /// The compiler.
        program: PathBuf,
        /// What it says.
        said: String,
        /// The release wanted.
        needed: u32,
    },
    /// A file of the assembly's folder cannot be used.
    #[error("{path}{}: {why}", line.map_or(String::new(), |line| format!(":{line}")), path = .path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: Option<usize>,
        /// What is wrong.
        why: String,
    },
    /// Maven cannot resolve the jars.
    #[error("mvn cannot resolve the jars: {0}")]
    Resolve(String),
    /// A jar is not what the lock file says.
    #[error("{artifact} has SHA-256 {actual} where {lock} says {listed}: it was not taken", lock = .lock.display())]
    OtherSum {
        /// Group, artifact and version.
        artifact: String,
        /// The sum of what came.
        actual: String,
        /// The sum in the lock file.
        listed: String,
        /// The lock file.
        lock: PathBuf,
    },
    /// A tool of the development kit fails.
    #[error("{tool} fails for {what}: {why}")]
    Tool {
        /// The tool.
        tool: &'static str,
        /// What it was to do.
        what: String,
        /// What it said.
        why: String,
    },
    /// A tool does not come to its end.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl MavenError {
    /// What to do about it.
    pub(super) fn remedy(&self, assembly: &MavenAssembly) -> String {
        let java = assembly.java;
        match self {
            Self::NoMaven => "put Maven 3.6 or newer on PATH".to_owned(),
            Self::NoTool { .. } | Self::TooOld { .. } => {
                format!("install a JDK {java} or newer and put it on PATH or set JAVA_HOME to it")
            }
            Self::Source { .. } => {
                format!("restore {} from the project's sources", assembly.folder.display())
            }
            Self::Resolve(_) => {
                "let mvn reach a repository that has them: mirrors and proxies are set in the Maven \
                                 settings (~/.m2/settings.xml)"
                    .to_owned()
            }
            Self::OtherSum { artifact, .. } => format!(
                "delete {artifact} from Maven's local repository and use a repository you trust, or correct the lock file"
            ),
            Self::Tool { .. } => {
                format!("put a whole JDK {java} or newer on PATH, or correct our Java sources")
            }
            Self::Run(_) => "run it again on a less busy machine".to_owned(),
            Self::Cache(_) => "set CONFORM_CACHE to a folder you may write".to_owned(),
        }
    }
}

/// What an assembly is told besides what to assemble.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order<'a> {
    /// The environment.
    pub(super) environment: &'a Environment,
    /// The component, for progress.
    pub(super) component: &'a str,
    /// Why it comes to an assembly, for progress.
    pub(super) why: &'a str,
    /// Who watches.
    pub(super) progress: &'a Progress,
    /// Ends when the run is interrupted.
    pub(super) cancel: &'a CancellationToken,
}

/// A part of ours: Java sources that become a jar of the home.
struct Part {
    /// Its folder in the assembly's sources.
    source: &'static str,
    /// Its folder in the home; one that has a plugin's descriptor gets that too.
    place: &'static str,
    /// Its jar there.
    jar: &'static str,
}

/// The lifecycle stand-in is a plugin and not a module so that `_cat/plugins` shows it.
const PARTS: [Part; 3] = [
    Part {
        source: "launcher",
        place: "launcher",
        jar: "launcher.jar",
    },
    Part {
        source: "root",
        place: "modules/conform-root",
        jar: "conform-root.jar",
    },
    Part {
        source: "lifecycle",
        place: "plugins/conform-lifecycle",
        jar: "conform-lifecycle.jar",
    },
];

/// Files of ours that are taken as they are, with whether they are executable.
const FILES: [(&str, bool); 3] = [
    ("bin/elasticsearch", true),
    ("config/elasticsearch.yml", false),
    ("config/log4j2.properties", false),
];

const DESCRIPTOR: &str = "plugin-descriptor.properties";

impl MavenAssembly {
    /// The list of its jars.
    pub(super) fn lock(&self) -> PathBuf {
        self.folder.join("jars.lock")
    }

    /// What makes an entry of the cache an entry of this assembly: every file it is made from.
    pub(super) fn recipe(&self) -> String {
        let mut digest = Sha256::new();
        let mut files = self.files();
        files.push(self.lock());
        for file in files {
            digest.update(
                file.strip_prefix(&self.folder)
                    .unwrap_or(&file)
                    .as_os_str()
                    .as_encoded_bytes(),
            );
            // What cannot be read is named when it is to be used.
            digest.update(fs::read(&file).unwrap_or_default());
        }
        format!("maven\n{}\n{}", self.plugin, hex::encode(digest.finalize()))
    }

    /// Our files it is made from, in order.
    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = FILES.iter().map(|(file, _)| self.folder.join(file)).collect();
        for part in &PARTS {
            walk(&self.folder.join(part.source), &mut files);
        }
        files.sort();
        files
    }

    /// How many jars there are, if the lock file can be read.
    pub(super) fn jars(&self) -> Result<usize, MavenError> {
        Ok(Lock::read(&self.lock())?.jars.len())
    }

    /// Assembles the home around the executables of `making`; what comes back says what with.
    pub(super) async fn assemble(
        &self,
        tools: &Tools,
        making: &Making,
        order: Order<'_>,
    ) -> Result<String, MavenError> {
        let lock = Lock::read(&self.lock())?;
        let workshop = making.workshop()?;
        let home = making.home();
        let step = |text: String| order.progress.step(order.component, text);
        step(format!(
            "resolving {} jars with {} ({})",
            lock.jars.len(),
            tools.maven.display(),
            order.why
        ));
        self.resolve(&lock, tools, &workshop, order).await?;
        for jar in &lock.jars {
            take(jar, &workshop, &home, &self.lock())?;
        }
        step("compiling the launcher and the plugins".to_owned());
        for module in lock.modules() {
            describe(module, &tools.jdk, &home, &workshop, order).await?;
        }
        for part in &PARTS {
            self.compile(part, &lock, &tools.jdk, (&home, &workshop), order)
                .await?;
        }
        for (file, executable) in FILES {
            copy(&self.folder.join(file), &home.join(file), executable)?;
        }
        Ok(format!(
            "{} Maven artifacts with Java {}",
            lock.jars.len(),
            tools.jdk.release
        ))
    }

    async fn resolve(
        &self,
        lock: &Lock,
        tools: &Tools,
        workshop: &Path,
        order: Order<'_>,
    ) -> Result<(), MavenError> {
        let pom = workshop.join("pom.xml");
        fs::write(&pom, pom::render(lock, &self.plugin)).map_err(failed("write", &pom))?;
        let goal = format!(
            "org.apache.maven.plugins:maven-dependency-plugin:{}:copy",
            self.plugin
        );
        let arguments = ["--batch-mode", "--quiet", "--file"]
            .map(OsString::from)
            .into_iter()
            .chain([pom.into(), goal.into()])
            .collect();
        let tick = |elapsed| {
            order.progress.step(
                order.component,
                format!("resolving jars: {} so far", format_duration(elapsed)),
            );
        };
        let ended = start(&tools.maven, arguments, workshop, RESOLVE, order, tick).await?;
        if ended.status.success() {
            Ok(())
        } else {
            // Maven writes its errors to standard output.
            Err(MavenError::Resolve(cause(&format!(
                "{}\n{}",
                ended.stdout, ended.stderr
            ))))
        }
    }

    /// Compiles a part and packs it where the home has it.
    async fn compile(
        &self,
        part: &Part,
        lock: &Lock,
        jdk: &Jdk,
        (home, workshop): (&Path, &Path),
        order: Order<'_>,
    ) -> Result<(), MavenError> {
        let source = self.folder.join(part.source);
        let mut files = Vec::new();
        walk(&source, &mut files);
        files.retain(|file| file.extension().is_some_and(|extension| extension == "java"));
        files.sort();
        if files.is_empty() {
            return Err(MavenError::Source {
                path: source,
                line: None,
                why: "holds no Java sources".to_owned(),
            });
        }
        let class_path: Vec<OsString> = lock
            .folders()
            .map(|folder| home.join(folder).join("*").into())
            .collect();
        let classes = workshop.join("classes").join(part.source);
        let mut arguments: Vec<OsString> = ["-proc:none", "-encoding", "UTF-8", "--release"]
            .map(OsString::from)
            .to_vec();
        arguments.push(self.java.to_string().into());
        // What jars of others name in their manifests and classes is not ours to mend.
        arguments.extend(["-Xlint:all,-path,-classfile", "-Werror", "-classpath"].map(OsString::from));
        arguments.push(class_path.join(std::ffi::OsStr::new(":")));
        arguments.extend(["-d".into(), classes.clone().into()]);
        arguments.extend(files.into_iter().map(OsString::from));
        finished(
            "javac",
            part.source,
            &start(&jdk.javac, arguments, workshop, COMPILE, order, |_| ()).await?,
        )?;

        let place = home.join(part.place);
        fs::create_dir_all(&place).map_err(failed("make", &place))?;
        let arguments = vec![
            "--create".into(),
            "--file".into(),
            place.join(part.jar).into(),
            "-C".into(),
            classes.into(),
            ".".into(),
        ];
        finished(
            "jar",
            part.jar,
            &start(&jdk.jar, arguments, workshop, COMPILE, order, |_| ()).await?,
        )?;
        let descriptor = source.join(DESCRIPTOR);
        if descriptor.is_file() {
            copy(&descriptor, &place.join(DESCRIPTOR), false)?;
        }
        Ok(())
    }
}

/// Moves a jar that Maven resolved to its place, if it is what the lock file says.
fn take(jar: &Jar, workshop: &Path, home: &Path, lock: &Path) -> Result<(), MavenError> {
    let from = workshop.join(pom::RESOLVED).join(&jar.folder).join(jar.file());
    let file = File::open(&from).map_err(|error| {
        MavenError::Resolve(format!("{} is not where it was to be: {error}", jar.artifact()))
    })?;
    let actual = cache::hash(file).map_err(failed("read", &from))?;
    if actual != jar.sha256 {
        return Err(MavenError::OtherSum {
            artifact: jar.artifact(),
            actual,
            listed: jar.sha256.clone(),
            lock: lock.to_owned(),
        });
    }
    let folder = home.join(&jar.folder);
    fs::create_dir_all(&folder).map_err(failed("make", &folder))?;
    let to = folder.join(jar.file());
    fs::rename(&from, &to).map_err(failed("move", &from))?;
    Ok(())
}

/// Takes a published module's descriptor out of its jar: the server looks for it beside the jar.
async fn describe(
    module: &Jar,
    jdk: &Jdk,
    home: &Path,
    workshop: &Path,
    order: Order<'_>,
) -> Result<(), MavenError> {
    let place = home.join(&module.folder);
    let inside = format!("META-INF/es-plugins/{}/{DESCRIPTOR}", module.name);
    let arguments = vec![
        "--extract".into(),
        "--file".into(),
        place.join(module.file()).into(),
        inside.clone().into(),
    ];
    finished(
        "jar",
        &inside,
        &start(&jdk.jar, arguments, workshop, COMPILE, order, |_| ()).await?,
    )?;
    copy(&workshop.join(&inside), &place.join(DESCRIPTOR), false)
}

fn copy(from: &Path, to: &Path, executable: bool) -> Result<(), MavenError> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(failed("make", folder))?;
    }
    let content = fs::read(from).map_err(|error| MavenError::Source {
        path: from.to_owned(),
        line: None,
        why: error.to_string(),
    })?;
    fs::write(to, content).map_err(failed("write", to))?;
    let mode = if executable { 0o755 } else { 0o644 };
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).map_err(failed("write", to))?;
    Ok(())
}

async fn start(
    program: &Path,
    arguments: Vec<OsString>,
    folder: &Path,
    bound: Duration,
    order: Order<'_>,
    tick: impl FnMut(Duration),
) -> Result<Ended, RunError> {
    let run_to_be = Run {
        program,
        arguments,
        folder: Some(folder),
        environment: order.environment,
        variables: Vec::new(),
        bound,
    };
    run(&run_to_be, order.cancel, tick).await
}

fn finished(tool: &'static str, what: &str, ended: &Ended) -> Result<(), MavenError> {
    if ended.status.success() {
        return Ok(());
    }
    Err(MavenError::Tool {
        tool,
        what: what.to_owned(),
        why: cause(&format!("{}\n{}", ended.stderr, ended.stdout)),
    })
}

/// The first line that names an error, without Maven's marks; else the first line there is.
fn cause(said: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines().find(|line| line.contains("ERROR") || line.contains("error:"));
    error
        .or_else(|| lines().next())
        .unwrap_or("it says nothing")
        .replace("\u{1b}[m", "")
        .trim_start_matches("[ERROR]")
        .trim()
        .chars()
        .take(600)
        .collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> CacheError + use<'a> {
    move |source| CacheError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
