//! Locks that the kernel gives back when their holder ends, however that is.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// A file that is locked as long as this value lives.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// The lock alone; none where somebody else has it.
    pub(super) fn exclusive(path: &Path) -> io::Result<Option<Self>> {
        Self::take(path, FlockOperation::NonBlockingLockExclusive)
    }

    /// The lock together with others that take it so; none where somebody has it alone.
    pub(super) fn shared(path: &Path) -> io::Result<Option<Self>> {
        Self::take(path, FlockOperation::NonBlockingLockShared)
    }

    fn take(path: &Path, operation: FlockOperation) -> io::Result<Option<Self>> {
        loop {
            let file = File::options().create(true).append(true).open(path)?;
            match flock(&file, operation) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
            // A holder may have removed the file between the opening and the locking: what is locked then
            // is no file that anybody else would find.
            let locked = file.metadata()?;
            match fs::metadata(path) {
                Ok(there) if (there.dev(), there.ino()) == (locked.dev(), locked.ino()) => {
                    return Ok(Some(Self {
                        file,
                        path: path.to_owned(),
                    }));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives the lock back and leaves no file.
    pub(super) fn remove(self) -> io::Result<()> {
        // While it is held, or it could be somebody else's by then.
        let removed = fs::remove_file(&self.path);
        drop(self.file);
        absent(removed)
    }
}

/// What is not there any more was to be removed.
pub(super) fn absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alone_or_several_together() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let alone = Lock::exclusive(&path).unwrap().unwrap();
        assert!(Lock::exclusive(&path).unwrap().is_none());
        assert!(Lock::shared(&path).unwrap().is_none());
        drop(alone);
        let together = [(); 2].map(|()| Lock::shared(&path).unwrap().unwrap());
        assert!(Lock::exclusive(&path).unwrap().is_none());
        drop(together);
        Lock::exclusive(&path).unwrap().unwrap().remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_removed_file_locks_nobody_out_and_nobody_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = Lock::exclusive(&path).unwrap().unwrap();
        first.remove().unwrap();
        let second = Lock::exclusive(&path).unwrap().unwrap();
        assert!(path.exists());
        assert!(Lock::exclusive(&path).unwrap().is_none());
        drop(second);
    }
}
