//! The cache of servers: `servers/COMPONENT/VERSION-RECIPE/` with the
//! executables under `bin/` and a manifest of their sizes and hashes.
//!
//! An entry is made in a temporary folder beside its place, gets its manifest
//! last and is renamed into place: what is half done never looks finished. An
//! entry whose content no longer fits its manifest is moved aside and made
//! anew. Whoever makes an entry holds its lock; others wait for it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::wait::{Look, Wait};

/// Changes when entries made before can no longer be read.
const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
const EXECUTABLES: &str = "bin";

/// How long another run may hold an entry's lock: longer than any build that is not stuck.
const LOCK_BOUND: Duration = Duration::from_hours(1);

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CacheError {
    /// Reading or writing failed.
    #[error("the cache cannot {what} {path}: {source}", path = .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another run holds the lock for too long.
    #[error("{0}")]
    Locked(String),
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> CacheError + use<'a> {
    move |source| CacheError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

/// An entry's place in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// `servers/COMPONENT`.
    shelf: PathBuf,
    /// `VERSION-RECIPE`.
    name: String,
}

/// What an entry holds, written last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    format: u32,
    /// Where it came from, for people.
    pub(super) origin: String,
    made: Timestamp,
    files: IndexMap<String, Sealed>,
}

/// A file as it was when its entry was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    bytes: u64,
    sha256: String,
    /// Content is hashed again only when this no longer fits.
    modified: Timestamp,
}

/// What a look at an entry found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// Nothing, or something half done.
    Nothing,
    /// An entry that is no longer what it was, and why.
    Corrupt(String),
    /// A whole entry: its executables by name.
    Whole(Manifest, IndexMap<String, PathBuf>),
}

/// Twelve hexadecimal digits of the SHA-256 of a recipe's text.
pub(super) fn recipe_digest(recipe: &str) -> String {
    let mut text = hex::encode(Sha256::digest(format!("format {FORMAT}\n{recipe}")));
    text.truncate(12);
    text
}

impl Entry {
    /// The entry of a component's version made by `recipe`, in the cache at `cache`.
    pub(super) fn new(cache: &Path, component: &str, version: &str, recipe: &str) -> Self {
        Self {
            shelf: cache.join("servers").join(component),
            name: format!("{version}-{}", recipe_digest(recipe)),
        }
    }

    /// Its folder.
    pub(super) fn folder(&self) -> PathBuf {
        self.shelf.join(&self.name)
    }

    /// Looks at it: sizes and modification times always, hashes where a time changed.
    pub(super) fn look<'a>(
        &self,
        executables: impl IntoIterator<Item = &'a str>,
    ) -> Result<Held, CacheError> {
        let folder = self.folder();
        let manifest_file = folder.join(MANIFEST);
        let text = match std::fs::read_to_string(&manifest_file) {
            Ok(text) => text,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(Held::Nothing);
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Ok(Held::Corrupt(format!("{MANIFEST} is not text")));
            }
            Err(error) => return Err(failed("read", &manifest_file)(error)),
        };
        let mut manifest: Manifest = match serde_json::from_str(&text) {
            Ok(manifest) => manifest,
            Err(error) => return Ok(Held::Corrupt(format!("{MANIFEST} does not parse: {error}"))),
        };
        if manifest.format != FORMAT {
            return Ok(Held::Corrupt(format!(
                "{MANIFEST} has format {}",
                manifest.format
            )));
        }
        let mut paths = IndexMap::new();
        let mut touched = false;
        for executable in executables {
            let path = folder.join(EXECUTABLES).join(executable);
            let Some(sealed) = manifest.files.get_mut(executable) else {
                return Ok(Held::Corrupt(format!("{MANIFEST} lacks {executable}")));
            };
            match sealed.compare(&path) {
                Ok(Fit::Same) => {}
                Ok(Fit::Touched(modified)) => {
                    sealed.modified = modified;
                    touched = true;
                }
                Ok(Fit::Other(why)) => {
                    return Ok(Held::Corrupt(format!("{EXECUTABLES}/{executable} {why}")));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Held::Corrupt(format!("{EXECUTABLES}/{executable} is gone")));
                }
                Err(error) => return Err(failed("read", &path)(error)),
            }
            paths.insert(executable.to_owned(), path);
        }
        if touched {
            // Spares the next look the hashes; a cache that may only be read works without.
            let _ = manifest.write(&folder);
        }
        Ok(Held::Whole(manifest, paths))
    }

    /// Waits for the entry's lock and takes it; `busy` hears once that another run has it.
    pub(super) async fn lock(
        &self,
        cancel: &CancellationToken,
        mut busy: impl FnMut(),
    ) -> Result<Lock, CacheError> {
        std::fs::create_dir_all(&self.shelf).map_err(failed("make the folder", &self.shelf))?;
        let path = self.shelf.join(format!("{}.lock", self.name));
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed("open", &path))?;
        let mut told = false;
        let wait =
            Wait::new(format!("the lock {}", path.display()), LOCK_BOUND).every(Duration::from_millis(100));
        let taken = wait.until(|| {
            use rustix::fs::{FlockOperation, flock};
            use rustix::io::Errno;
            let look = match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => Look::Ready(()),
                Err(Errno::WOULDBLOCK | Errno::INTR) => {
                    if !std::mem::replace(&mut told, true) {
                        busy();
                    }
                    Look::Missing("another run holds it".to_owned())
                }
                Err(error) => Look::Hopeless(error.to_string()),
            };
            std::future::ready(look)
        });
        tokio::select! {
            () = cancel.cancelled() => return Err(CacheError::Interrupted),
            taken = taken => taken.map_err(|error| CacheError::Locked(error.to_string()))?,
        }
        self.sweep();
        Ok(Lock {
            entry: self.clone(),
            _file: file,
        })
    }

    fn making(&self) -> String {
        format!(".making-{}-", self.name)
    }

    /// Removes what a killed run left half done; only for the holder of the lock.
    fn sweep(&self) {
        let Ok(folders) = std::fs::read_dir(&self.shelf) else {
            return;
        };
        for folder in folders.flatten() {
            if folder.file_name().to_string_lossy().starts_with(&self.making()) {
                let _ = std::fs::remove_dir_all(folder.path());
            }
        }
    }
}

/// The right to make an entry; given back when dropped.
#[derive(Debug)]
pub(super) struct Lock {
    entry: Entry,
    _file: File,
}

impl Lock {
    /// Moves a corrupt entry aside, over the one moved before it.
    pub(super) fn set_aside(&self) -> Result<PathBuf, CacheError> {
        let from = self.entry.folder();
        let to = self.entry.shelf.join(format!("{}.corrupt", self.entry.name));
        remove(&to)?;
        std::fs::rename(&from, &to).map_err(failed("move aside", &from))?;
        Ok(to)
    }

    /// A folder to make the entry in.
    pub(super) fn make(self) -> Result<Making, CacheError> {
        let folder = tempfile::Builder::new()
            .prefix(&self.entry.making())
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir_in(&self.entry.shelf)
            .map_err(failed("make a folder in", &self.entry.shelf))?;
        let executables = folder.path().join(EXECUTABLES);
        std::fs::create_dir(&executables).map_err(failed("make", &executables))?;
        Ok(Making { folder, lock: self })
    }
}

/// An entry that is being made; dropped, it leaves nothing and gives the lock back.
#[derive(Debug)]
pub(super) struct Making {
    // Dropped in this order: the folder is gone before the lock is.
    folder: TempDir,
    lock: Lock,
}

impl Making {
    /// Where its executables go.
    pub(super) fn executables(&self) -> PathBuf {
        self.folder.path().join(EXECUTABLES)
    }

    /// The folder of the whole entry, for what needs more than executables.
    pub(super) fn home(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// A folder for whatever the making itself needs; not part of the entry.
    pub(super) fn workshop(&self) -> Result<PathBuf, CacheError> {
        let path = self.folder.path().join("making");
        std::fs::create_dir_all(&path).map_err(failed("make", &path))?;
        Ok(path)
    }

    /// Finishes the entry: hashes its executables, writes the manifest and moves all into place.
    pub(super) fn finish<'a>(
        self,
        executables: impl IntoIterator<Item = &'a str>,
        origin: &str,
    ) -> Result<IndexMap<String, PathBuf>, CacheError> {
        let folder = self.folder.path();
        remove(&folder.join("making"))?;
        let mut manifest = Manifest {
            format: FORMAT,
            origin: origin.to_owned(),
            made: Timestamp::now(),
            files: IndexMap::new(),
        };
        let place = self.lock.entry.folder();
        let mut paths = IndexMap::new();
        for executable in executables {
            let path = folder.join(EXECUTABLES).join(executable);
            let sealed = Sealed::of(&path).map_err(failed("read", &path))?;
            manifest.files.insert(executable.to_owned(), sealed);
            paths.insert(executable.to_owned(), place.join(EXECUTABLES).join(executable));
        }
        manifest.write(folder).map_err(failed("write", folder))?;
        remove(&place)?;
        std::fs::rename(folder, &place).map_err(failed("move into place", &place))?;
        Ok(paths)
    }
}

impl Manifest {
    /// Writes it beside and moves it into place, on the disk before it has its name.
    fn write(&self, folder: &Path) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".manifest-")
            .tempfile_in(folder)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(folder.join(MANIFEST))?;
        Ok(())
    }
}

/// How a file compares with what was sealed.
enum Fit {
    Same,
    /// The same content with another modification time.
    Touched(Timestamp),
    Other(String),
}

impl Sealed {
    fn of(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        file.sync_all()?;
        let about = file.metadata()?;
        Ok(Self {
            bytes: about.len(),
            sha256: hash(file)?,
            modified: modified(&about)?,
        })
    }

    fn compare(&self, path: &Path) -> io::Result<Fit> {
        let file = File::open(path)?;
        let about = file.metadata()?;
        if about.len() != self.bytes {
            return Ok(Fit::Other(format!(
                "has {} bytes instead of {}",
                about.len(),
                self.bytes
            )));
        }
        if about.permissions().mode() & 0o111 == 0 {
            return Ok(Fit::Other("is not executable any more".to_owned()));
        }
        let modified = modified(&about)?;
        if modified == self.modified {
            return Ok(Fit::Same);
        }
        let sha256 = hash(file)?;
        Ok(if sha256 == self.sha256 {
            Fit::Touched(modified)
        } else {
            Fit::Other(format!("has SHA-256 {sha256} instead of {}", self.sha256))
        })
    }
}

fn modified(about: &std::fs::Metadata) -> io::Result<Timestamp> {
    Timestamp::try_from(about.modified()?).map_err(io::Error::other)
}

/// SHA-256 of what is left of a file, in hexadecimal.
pub(super) fn hash(mut file: File) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
    }
}

fn remove(path: &Path) -> Result<(), CacheError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Bytes of all files under the cache, links not followed; 0 where there is none.
pub(super) fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let about = entry.metadata().ok()?;
            Some(if about.is_dir() {
                size(&entry.path())
            } else {
                about.len()
            })
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(cache: &Path) -> Entry {
        Entry::new(cache, "tool", "1.2.3", "a recipe")
    }

    fn write(path: &Path, content: &[u8]) {
        std::fs::write(path, content).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    async fn made(cache: &Path, content: &[u8]) -> PathBuf {
        let lock = entry(cache).lock(&CancellationToken::new(), || ()).await.unwrap();
        let making = lock.make().unwrap();
        write(&making.executables().join("tool"), content);
        making.workshop().unwrap();
        let paths = making.finish(["tool"], "made by hand").unwrap();
        paths["tool"].clone()
    }

    fn blocking<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(future)
    }

    fn names(cache: &Path) -> Vec<String> {
        std::fs::read_dir(cache.join("servers/tool"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    fn touch(path: &Path) {
        let file = File::options().write(true).open(path).unwrap();
        let earlier = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        file.set_modified(earlier).unwrap();
    }

    proptest! {
        /// forall content: look(finish(content)) = whole, and it stays so when only the
        /// modification time changes; forall byte, bit: with that bit turned over and the
        /// modification time changed, look = corrupt.
        #[test]
        fn a_finished_entry_is_whole_until_a_bit_turns(
            content in proptest::collection::vec(any::<u8>(), 1..2000),
            at in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let cache = tempfile::tempdir().unwrap();
            let path = blocking(made(cache.path(), &content));
            let entry = entry(cache.path());
            let whole = |held: Held| matches!(held, Held::Whole(m, _) if m.origin == "made by hand");
            prop_assert!(whole(entry.look(["tool"]).unwrap()));
            touch(&path);
            prop_assert!(whole(entry.look(["tool"]).unwrap()));
            let mut turned = content.clone();
            turned[at.index(content.len())] ^= 1u8 << bit;
            write(&path, &turned);
            prop_assert!(matches!(entry.look(["tool"]).unwrap(), Held::Corrupt(_)));
        }

        /// forall manifest m: parse(print(m)) = m
        #[test]
        fn a_manifest_reads_back_as_written(
            origin in ".*",
            files in proptest::collection::vec(("[a-z]{1,9}", any::<u64>(), "[0-9a-f]{64}", 0i64..4_000_000_000_000), 0..4),
        ) {
            let manifest = Manifest {
                format: FORMAT,
                origin,
                made: Timestamp::UNIX_EPOCH,
                files: files
                    .into_iter()
                    .map(|(name, bytes, sha256, ms)| {
                        let modified = Timestamp::from_millisecond(ms).unwrap();
                        (name, Sealed { bytes, sha256, modified })
                    })
                    .collect(),
            };
            let text = serde_json::to_string(&manifest).unwrap();
            prop_assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest);
        }
    }

    #[tokio::test]
    async fn a_looked_at_touched_entry_is_hashed_once() {
        let cache = tempfile::tempdir().unwrap();
        let path = made(cache.path(), b"content").await;
        touch(&path);
        let entry = entry(cache.path());
        let Held::Whole(first, _) = entry.look(["tool"]).unwrap() else {
            panic!("not whole")
        };
        let text = std::fs::read_to_string(entry.folder().join(MANIFEST)).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), first);
    }

    #[tokio::test]
    async fn a_dropped_making_leaves_nothing_and_a_killed_one_is_swept() {
        let cache = tempfile::tempdir().unwrap();
        let entry = entry(cache.path());
        let lock = entry.lock(&CancellationToken::new(), || ()).await.unwrap();
        drop(lock.make().unwrap());
        assert_eq!(names(cache.path()), [format!("{}.lock", entry.name)]);
        let lock = entry.lock(&CancellationToken::new(), || ()).await.unwrap();
        let mut killed = lock.make().unwrap();
        killed.folder.disable_cleanup(true);
        drop(killed);
        assert_eq!(names(cache.path()).len(), 2);
        assert_eq!(entry.look(["tool"]).unwrap(), Held::Nothing);
        let _lock = entry.lock(&CancellationToken::new(), || ()).await.unwrap();
        assert_eq!(names(cache.path()), [format!("{}.lock", entry.name)]);
    }

    #[tokio::test]
    async fn an_entry_without_its_manifest_is_nothing() {
        let cache = tempfile::tempdir().unwrap();
        let path = made(cache.path(), b"content").await;
        let entry = entry(cache.path());
        std::fs::remove_file(entry.folder().join(MANIFEST)).unwrap();
        assert!(path.exists());
        assert_eq!(entry.look(["tool"]).unwrap(), Held::Nothing);
    }

    #[tokio::test]
    async fn a_held_lock_can_be_interrupted() {
        let cache = tempfile::tempdir().unwrap();
        let entry = entry(cache.path());
        let _held = entry.lock(&CancellationToken::new(), || ()).await.unwrap();
        let cancel = CancellationToken::new();
        let waiting = entry.lock(&cancel, || cancel.cancel()).await;
        assert!(matches!(waiting, Err(CacheError::Interrupted)));
    }
}
