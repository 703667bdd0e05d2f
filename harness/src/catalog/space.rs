//! Free disk space, asked for before something large is made.

use std::path::Path;
use std::sync::Mutex;

use tokio::sync::Notify;

/// Disk space that builds at work claim, so that several at once never want more than there is.
///
/// What a build at work has written already counts twice, once as claimed and once as no longer free:
/// a build waits rather than fails for that, and one that is alone is not held up.
#[derive(Debug, Default)]
pub(super) struct Claims {
    claimed: Mutex<u64>,
    released: Notify,
}

/// A claim on disk space, given back when dropped.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    claims: &'a Claims,
    bytes: u64,
}

impl Claims {
    /// Claims `bytes` once `fits` agrees with all that is claimed then, this included; where it does
    /// not while others claim some, waits for them (`waiting` hears once), and fails when alone.
    pub(super) async fn claim<E>(
        &self,
        bytes: u64,
        fits: impl Fn(u64) -> Result<(), E>,
        mut waiting: impl FnMut(),
    ) -> Result<Claim<'_>, E> {
        let mut told = false;
        loop {
            // Enabled before the look, so that no release between look and wait is missed.
            let released = self.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            {
                let mut claimed = self
                    .claimed
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                match fits(claimed.saturating_add(bytes)) {
                    Ok(()) => {
                        *claimed = claimed.saturating_add(bytes);
                        return Ok(Claim { claims: self, bytes });
                    }
                    Err(error) if *claimed == 0 => return Err(error),
                    Err(_) => {}
                }
            }
            if !std::mem::replace(&mut told, true) {
                waiting();
            }
            released.await;
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut claimed = self
            .claims
            .claimed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *claimed = claimed.saturating_sub(self.bytes);
        drop(claimed);
        self.claims.released.notify_waiters();
    }
}

/// Free bytes for this user on the file system of `path`, or of its nearest folder that exists.
pub(crate) fn free(path: &Path) -> Option<u64> {
    path.ancestors()
        .find_map(|folder| rustix::fs::statvfs(folder).ok())
        .map(|about| about.f_bavail.saturating_mul(about.f_frsize))
}

/// A size for people: one decimal, in powers of 1024 under the names the field uses.
pub(crate) fn format_bytes(bytes: u64) -> String {
    let (mut unit, mut name) = (1u64, "B");
    for next in ["KB", "MB", "GB", "TB"] {
        if bytes / unit < 1024 {
            break;
        }
        unit *= 1024;
        name = next;
    }
    let tenths = u128::from(bytes) * 10 / u128::from(unit);
    if unit == 1 {
        format!("{bytes} B")
    } else {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[tokio::test]
    async fn a_claim_that_does_not_fit_beside_another_waits_for_its_end() {
        let claims = Claims::default();
        let fits = |wanted: u64| if wanted <= 10 { Ok(()) } else { Err(wanted) };
        let first = claims.claim(7, fits, || ()).await.unwrap();
        let beside = claims.claim(3, fits, || ()).await.unwrap();
        let held = std::cell::RefCell::new(Some(first));
        let mut waited = 0;
        let second = claims
            .claim(5, fits, || {
                waited += 1;
                held.borrow_mut().take();
            })
            .await;
        assert!(second.is_ok());
        assert_eq!(waited, 1);
        drop((beside, second));
        assert_eq!(claims.claim(11, fits, || ()).await.unwrap_err(), 11);
    }

    #[rstest]
    #[case(0, "0 B")]
    #[case(1023, "1023 B")]
    #[case(1536, "1.5 KB")]
    #[case(3 << 30, "3.0 GB")]
    fn sizes_read_well(#[case] bytes: u64, #[case] text: &str) {
        assert_eq!(format_bytes(bytes), text);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_has_its_parents_space() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free(&folder.path().join("a/b/c")).is_some_and(|bytes| bytes > 0));
    }
}
