//! The ground of a scenario: folders of its own, an environment of its own, and the command run there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::process;
use super::wait::{BOUND, wait};

/// The command under test.
const CONFORM: &str = env!("CARGO_BIN_EXE_conform");
/// Longest a build of all servers may take on a slow machine; a warm cache takes none of it.
const ACQUIRE_BOUND: Duration = Duration::from_mins(20);

/// The servers, obtained once, so that no scenario waits for a build inside a bound of its own.
static SERVERS: LazyLock<()> = LazyLock::new(|| {
    let ground = Ground::new();
    let ended = ground.start(ground.conform(["acquire"])).ends(ACQUIRE_BOUND);
    assert_eq!(ended.code, 0, "{ended}");
});

/// The case that is over soonest.
pub(super) const SHORT: &str = "alerts/routing";
/// The case that watches for the longest time, so that there is a middle to disturb.
pub(super) const LONG: &str = "metrics/scrape-cadence";

/// Folders and environment of one scenario; removed with whatever still runs there.
pub(super) struct Ground {
    folder: TempDir,
    started: AtomicU32,
}

impl Ground {
    /// A ground without servers having been obtained.
    pub(super) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("conform-scenario-")
            .tempdir()
            .expect("a temporary folder can be made");
        for name in ["runs", "work"] {
            fs::create_dir(folder.path().join(name)).expect("a folder can be made");
        }
        Self {
            folder,
            started: AtomicU32::new(0),
        }
    }

    /// A ground whose servers are in the cache.
    pub(super) fn with_servers() -> Self {
        LazyLock::force(&SERVERS);
        Self::new()
    }

    /// Everything of the scenario lies below.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where its runs keep what they need (`CONFORM_RUNS`).
    pub(super) fn runs(&self) -> PathBuf {
        self.path().join("runs")
    }

    /// Where reports go when a scenario does not say otherwise.
    pub(super) fn report(&self) -> PathBuf {
        self.path().join("work/conform-report")
    }

    /// `conform` with these arguments: the variables are the developer's but for conform's own.
    pub(super) fn conform<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(CONFORM);
        command.args(arguments).current_dir(self.path().join("work"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CONFORM_") {
                command.env_remove(name);
            }
        }
        command
            .env("CONFORM_CACHE", harness::catalog::cache_folder())
            .env("CONFORM_RUNS", self.runs())
            .env("CONFORM_ROOT", suites::root());
        command
    }

    /// Starts a command, its words going to files of the ground.
    pub(super) fn start(&self, mut command: Command) -> Running {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let file = |name: &str| self.path().join(format!("{number}.{name}"));
        let (stdout, stderr) = (file("stdout"), file("stderr"));
        let create = |path: &Path| File::create(path).expect("a file can be made");
        let child = command
            .stdin(Stdio::null())
            .stdout(create(&stdout))
            .stderr(create(&stderr))
            .spawn()
            .expect("the command starts");
        Running {
            child,
            stdout,
            stderr,
        }
    }

    /// Runs `conform` to its end.
    #[track_caller]
    pub(super) fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Ended {
        self.end(self.conform(arguments))
    }

    /// Runs a command to its end.
    #[track_caller]
    pub(super) fn end(&self, command: Command) -> Ended {
        self.start(command).ends(BOUND)
    }

    /// Nothing is left: no process, and no file where runs keep theirs.
    #[track_caller]
    pub(super) fn assert_clean(&self) {
        process::gone(self.path());
        assert_eq!(
            names(&self.runs()),
            Vec::<String>::new(),
            "left in the folder of runs"
        );
    }
}

/// Names of what is in a folder.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| {
            entry
                .expect("an entry can be read")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

/// A command that runs; killed when dropped, and its servers with it.
pub(super) struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    pub(super) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id fits")
    }

    /// What it has said on standard error so far.
    pub(super) fn says(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Waits until it has said `words` on standard error.
    #[track_caller]
    pub(super) fn said(&mut self, words: &str) {
        self.said_within(words, BOUND);
    }

    /// The same with a bound of its own.
    #[track_caller]
    pub(super) fn said_within(&mut self, words: &str, bound: Duration) {
        wait(&format!("conform says `{words}`"), bound, || {
            let said = self.says();
            if said.contains(words) {
                return Ok(());
            }
            let ended = self.child.try_wait().expect("its state can be asked for");
            assert!(ended.is_none(), "conform ended without saying `{words}`:\n{said}");
            Err(said)
        });
    }

    /// Whether it has ended.
    pub(super) fn ended(&mut self) -> Option<()> {
        self.child
            .try_wait()
            .expect("its state can be asked for")
            .map(drop)
    }

    /// Waits for its end.
    #[track_caller]
    pub(super) fn ends(mut self, bound: Duration) -> Ended {
        let status = wait("the command's end", bound, || {
            let ended = self.child.try_wait().expect("its state can be asked for");
            ended.ok_or_else(|| format!("it runs, having said:\n{}", self.says()))
        });
        Ended {
            code: code(status),
            stdout: fs::read_to_string(&self.stdout).expect("its output can be read"),
            stderr: self.says(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The exit code; that of a shell where a signal ended it.
fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// A command that has ended.
pub(super) struct Ended {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "exit code {}\n--- standard output\n{}--- standard error\n{}",
            self.code, self.stdout, self.stderr
        )
    }
}

impl Ended {
    /// The line that `conform` itself ends with, without its name; the cause stands first in it.
    #[track_caller]
    pub(super) fn verdict_line(&self) -> &str {
        self.stderr
            .lines()
            .find_map(|line| line.strip_prefix("conform: "))
            .unwrap_or_else(|| panic!("conform says nothing about itself: {self}"))
    }
}
