//! A disk that is too slow for what waits for it.
//!
//! It is asked only where something did not come out: a run that passes waits for nothing. Servers that keep what they
//! acknowledge (Elasticsearch's translog, Prometheus' log of writes) wait for the disk with every request, and what
//! waits for them only says that they were late.

use std::path::Path;
use std::time::{Duration, Instant};

use super::calibrate::keep_page;
use crate::units::format_duration;

/// A page that takes longer is worth telling of: disks that spin take some 10 ms, busy ones ten times that.
const SLOW: Duration = Duration::from_millis(250);
/// Longest to wait for one page.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pages written; the fastest counts, so that one which others got in the way of says nothing.
const PAGES: usize = 3;

/// The `reason` why something did not come out, with a slow disk below `folder` before it where there is one. Of a
/// folder that is gone already, the one above it tells.
pub(crate) async fn disk_first(folder: &Path, reason: String) -> String {
    match folder.ancestors().find(|folder| folder.is_dir()) {
        Some(there) => words(there, measure(there).await, reason),
        None => reason,
    }
}

/// How the fastest page fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    /// Kept after this long.
    Kept(Duration),
    /// Not kept within [`PATIENCE`].
    Open,
    /// It cannot be written at all, which whoever failed has words of his own for.
    Refused,
}

async fn measure(folder: &Path) -> Page {
    let folder = folder.to_owned();
    let (tell, told) = tokio::sync::oneshot::channel();
    // A thread that nobody waits for: it may hang in the kernel longer than a run may take.
    std::thread::spawn(move || {
        let _ = tell.send(pages(&folder));
    });
    match tokio::time::timeout(PATIENCE, told).await {
        Err(_) => Page::Open,
        Ok(Ok(Ok(took))) => Page::Kept(took),
        Ok(_) => Page::Refused,
    }
}

fn pages(folder: &Path) -> std::io::Result<Duration> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut fastest = Duration::MAX;
    for _ in 0..PAGES {
        let started = Instant::now();
        keep_page(&mut file)?;
        fastest = fastest.min(started.elapsed());
        if fastest < SLOW {
            break;
        }
    }
    Ok(fastest)
}

fn words(folder: &Path, page: Page, reason: String) -> String {
    let took = match page {
        Page::Kept(took) if took >= SLOW => format!("takes {} to keep a page", format_duration(took)),
        Page::Open => format!("has not kept a page within {}", format_duration(PATIENCE)),
        Page::Kept(_) | Page::Refused => return reason,
    };
    format!("the disk below {} {took}; {reason}", folder.display())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::fast(Page::Kept(Duration::from_millis(2)), "late")]
    #[case::slow(
        Page::Kept(Duration::from_millis(1_900)),
        "the disk below /data takes 1.9 s to keep a page; late"
    )]
    #[case::stuck(Page::Open, "the disk below /data has not kept a page within 10.0 s; late")]
    #[case::full(Page::Refused, "late")]
    fn a_slow_disk_is_named_first(#[case] page: Page, #[case] expected: &str) {
        assert_eq!(words(Path::new("/data"), page, "late".to_owned()), expected);
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_is_no_reason() {
        let above = tempfile::tempdir().expect("a folder can be made");
        let gone = above.path().join("gone/too");
        assert_eq!(disk_first(&gone, "late".to_owned()).await, "late");
        assert!(matches!(measure(above.path()).await, Page::Kept(_)));
    }
}
