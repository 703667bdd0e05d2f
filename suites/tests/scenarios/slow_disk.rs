//! A slow disk: a control group that lets the command under test write only so much.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::wrapped;
use super::ground::{Ground, SHORT};
use super::report::assert_environment;

/// Longest until a run on a slow disk gives up.
const GIVES_UP: Duration = Duration::from_mins(4);

/// A control group with a limit on the writes to a disk; removed when dropped.
struct Group {
    folder: PathBuf,
    /// The file that takes the limit.
    limit: PathBuf,
    /// What the limit is set with, before the number.
    words: String,
}

impl Group {
    /// A group for the disk that `folder` is on; none where the machine lets nobody limit it.
    fn new(folder: &Path) -> Option<Self> {
        let disk = disk_of(folder)?;
        let name = format!("conform-scenario-{}", std::process::id());
        // The second version of control groups, then the first.
        let tried = [
            ("/sys/fs/cgroup", "io.max", format!("{disk} wbps=")),
            (
                "/sys/fs/cgroup/blkio",
                "blkio.throttle.write_bps_device",
                format!("{disk} "),
            ),
        ];
        tried.into_iter().find_map(|(root, limit, words)| {
            let folder = Path::new(root).join(&name);
            fs::create_dir(&folder).ok()?;
            let group = Self {
                limit: folder.join(limit),
                folder,
                words,
            };
            // Files of the kernel: opening never makes one.
            group.limit.exists().then_some(group)
        })
    }

    /// Lets so many bytes a second through.
    fn bytes_per_second(&self, bytes: u32) {
        fs::write(&self.limit, format!("{}{bytes}\n", self.words)).expect("the limit can be set");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Major and minor number of the whole disk below a folder; none where it is on no disk.
fn disk_of(folder: &Path) -> Option<String> {
    let device = fs::metadata(folder).ok()?.dev();
    let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let known = fs::canonicalize(format!("/sys/dev/block/{number}")).ok()?;
    let whole = if known.join("partition").exists() {
        known.parent()?.to_owned()
    } else {
        known
    };
    Some(fs::read_to_string(whole.join("dev")).ok()?.trim().to_owned())
}

#[test]
fn a_disk_that_is_too_slow_is_the_cause_and_is_named() {
    let ground = Ground::with_servers();
    let Some(group) = Group::new(&ground.runs()) else {
        eprintln!("not checked: this machine lets nobody limit the writes of a control group");
        return;
    };
    // A page takes ten seconds.
    group.bytes_per_second(400);
    let enter = format!(
        "echo $$ > '{}' && exec \"$@\"",
        group.folder.join("cgroup.procs").display()
    );
    let command = wrapped(
        &ground,
        &["sh", "-c", &enter, "sh"],
        &["run", "--fresh", "--case", SHORT],
    );
    let ended = ground.start(command).ends(GIVES_UP);
    assert_environment(&ended, &ground.report(), SHORT, "the disk below ");
    ground.assert_clean();
}
