//! The vendor's release archive, taken only when it has the SHA-256 or SHA-512
//! sum the vendor publishes.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use flate2::read::GzDecoder;
use futures::StreamExt;
use sha2::digest::DynDigest;
use sha2::{Sha256, Sha512};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::cache::{CacheError, Making};
use super::entry::Archive;
use super::web::{Web, innermost};

/// How long a whole download may take.
const DOWNLOAD: Duration = Duration::from_mins(15);
/// Hexadecimal digits of a SHA-256.
const SHA256_DIGITS: usize = 64;
/// Hexadecimal digits of a SHA-512.
const SHA512_DIGITS: usize = 128;
/// The longest list of checksums that is read; real ones have a few KB.
const LIST_BYTES: usize = 1 << 20;

/// Why an archive does not serve.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    /// Its host does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// It cannot be fetched.
    #[error("{url} cannot be fetched: {why}")]
    Fetch {
        /// The address.
        url: Url,
        /// Why.
        why: String,
    },
    /// The vendor's list has no sum for it.
    #[error("{list} has no sum for {file}")]
    NoSum {
        /// Address of the list.
        list: Url,
        /// The archive's file name.
        file: String,
    },
    /// Its content is not what the vendor says.
    #[error("{url} has the sum {actual} where the vendor's list says {listed}: it was not taken")]
    OtherSum {
        /// The address.
        url: Url,
        /// The sum of what came.
        actual: String,
        /// The sum in the list.
        listed: String,
    },
    /// It holds something else than expected.
    #[error("{url} {why}")]
    Content {
        /// The address.
        url: Url,
        /// What is wrong.
        why: String,
    },
    /// The cache cannot be written.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

impl Archive {
    /// What makes an entry of the cache an entry of this archive.
    pub(super) fn recipe(&self) -> String {
        let mut recipe = format!("archive\n{}\n{}", self.url, self.checksums);
        for url in &self.further {
            let _ = write!(recipe, "\n{url}");
        }
        for (executable, file) in &self.names {
            let _ = write!(recipe, "\n{executable}={file}");
        }
        if self.whole {
            recipe.push_str("\nwhole");
        }
        recipe
    }

    /// Where its archives are.
    pub(super) fn urls(&self) -> impl Iterator<Item = &Url> {
        std::iter::once(&self.url).chain(&self.further)
    }

    /// Fetches it and puts its executables where `making` wants them.
    pub(super) async fn fetch(
        &self,
        web: &Web,
        executables: Vec<String>,
        making: &Making,
        cancel: &CancellationToken,
    ) -> Result<(), ArchiveError> {
        let fetch = self.fetch_all(web, executables, making);
        tokio::select! {
            () = cancel.cancelled() => Err(ArchiveError::Interrupted),
            done = fetch => done,
        }
    }

    async fn fetch_all(
        &self,
        web: &Web,
        executables: Vec<String>,
        making: &Making,
    ) -> Result<(), ArchiveError> {
        let client = web.client().await.map_err(ArchiveError::Unreachable)?;
        let mut list = Vec::new();
        download(client, &self.checksums, |chunk| {
            if list.len() + chunk.len() > LIST_BYTES {
                return Err("is too long for a list of checksums".to_owned());
            }
            list.extend_from_slice(chunk);
            Ok(())
        })
        .await?;
        let list = String::from_utf8_lossy(&list);

        let mut missing: Vec<Member> = executables
            .into_iter()
            .map(|executable| Member {
                file: self
                    .names
                    .get(&executable)
                    .cloned()
                    .unwrap_or_else(|| executable.clone()),
                executable,
            })
            .collect();
        let mut asked = &self.url;
        for url in self.urls() {
            let path = self.fetch_one(client, url, &list, making).await?;
            let (bin, home, whole) = (making.executables(), making.home(), self.whole);
            let unpacked = tokio::task::spawn_blocking(move || {
                let absent = if whole {
                    unpack_whole(&path, &home).map(|()| {
                        missing.retain(|member| !bin.join(&member.executable).is_file());
                        missing
                    })
                } else {
                    unpack(&path, &bin, missing)
                };
                // The next one takes its place.
                let _ = std::fs::remove_file(&path);
                absent
            })
            .await;
            missing = unpacked
                .unwrap_or_else(|error| Err(error.to_string()))
                .map_err(|why| ArchiveError::Content {
                    url: url.clone(),
                    why,
                })?;
            asked = url;
        }
        match missing.first() {
            None => Ok(()),
            Some(member) => Err(ArchiveError::Content {
                url: asked.clone(),
                why: format!("holds no file {}", member.file),
            }),
        }
    }

    /// Fetches one of its archives; what comes back is the file, whose sum is the vendor's.
    async fn fetch_one(
        &self,
        client: &reqwest::Client,
        url: &Url,
        list: &str,
        making: &Making,
    ) -> Result<PathBuf, ArchiveError> {
        let file = url
            .path_segments()
            .and_then(|mut segments| segments.next_back())
            .unwrap_or_default()
            .to_owned();
        let listed = listed_sum(list, &file).ok_or_else(|| ArchiveError::NoSum {
            list: self.checksums.clone(),
            file: file.clone(),
        })?;

        let path = making.workshop()?.join("archive.tar.gz");
        let unwritable = |source: io::Error| CacheError::Io {
            what: "write",
            path: path.clone(),
            source,
        };
        let mut target = File::create(&path).map_err(unwritable)?;
        let mut hasher: Box<dyn DynDigest + Send> = if listed.len() == SHA512_DIGITS {
            Box::new(Sha512::default())
        } else {
            Box::new(Sha256::default())
        };
        download(client, url, |chunk| {
            hasher.update(chunk);
            target
                .write_all(chunk)
                .map_err(|error| format!("cannot be stored: {error}"))
        })
        .await?;
        drop(target);
        let actual = hex::encode(hasher.finalize());
        if actual != listed {
            return Err(ArchiveError::OtherSum {
                url: url.clone(),
                actual,
                listed,
            });
        }
        Ok(path)
    }
}

/// An executable and the name of its file in an archive.
#[derive(Debug)]
struct Member {
    executable: String,
    file: String,
}

async fn download(
    client: &reqwest::Client,
    url: &Url,
    mut take: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), ArchiveError> {
    let failed = |why: String| ArchiveError::Fetch {
        url: url.clone(),
        why,
    };
    let answer = client
        .get(url.clone())
        .timeout(DOWNLOAD)
        .send()
        .await
        .map_err(|error| failed(innermost(&error)))?;
    if !answer.status().is_success() {
        return Err(failed(format!("the server answers {}", answer.status())));
    }
    let mut chunks = answer.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        take(&chunk.map_err(|error| failed(innermost(&error)))?).map_err(failed)?;
    }
    Ok(())
}

/// The sum of `file` in a list as sha256sum writes it: sum, blank, blank or asterisk, file name.
fn listed_sum(list: &str, file: &str) -> Option<String> {
    list.lines().find_map(|line| {
        let (sum, name) = line.split_once(char::is_whitespace)?;
        let name = name.trim_start().trim_start_matches('*');
        let name = name.strip_prefix("./").unwrap_or(name).trim_end();
        let is_sum = matches!(sum.len(), SHA256_DIGITS | SHA512_DIGITS)
            && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_sum && name == file).then(|| sum.to_ascii_lowercase())
    })
}

/// Takes the executables out of the archive, whatever folder they are in; nothing else, and never
/// to a path the archive chooses. What it does not hold comes back.
fn unpack(archive: &Path, bin: &Path, mut missing: Vec<Member>) -> Result<Vec<Member>, String> {
    let unreadable = |error: io::Error| format!("cannot be unpacked: {error}");
    let file = File::open(archive).map_err(unreadable)?;
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    for member in archive.entries().map_err(unreadable)? {
        let mut member = member.map_err(unreadable)?;
        if !member.header().entry_type().is_file() {
            continue;
        }
        let path: PathBuf = member.path().map_err(unreadable)?.into_owned();
        let Some(at) = missing
            .iter()
            .position(|wanted| path.file_name().is_some_and(|file| file == wanted.file.as_str()))
        else {
            continue;
        };
        let mut target = File::options()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(bin.join(missing.swap_remove(at).executable))
            .map_err(unreadable)?;
        io::copy(&mut member, &mut target).map_err(unreadable)?;
    }
    Ok(missing)
}

/// Unpacks all files of an archive without its outermost folder. Links are left out: they could lead
/// out of the folder, and no server needs those its archive has.
fn unpack_whole(archive: &Path, home: &Path) -> Result<(), String> {
    let unreadable = |error: io::Error| format!("cannot be unpacked: {error}");
    let file = File::open(archive).map_err(unreadable)?;
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    for member in archive.entries().map_err(unreadable)? {
        let mut member = member.map_err(unreadable)?;
        if !member.header().entry_type().is_file() {
            continue;
        }
        let path = member.path().map_err(unreadable)?.into_owned();
        let inside: PathBuf = path
            .components()
            .filter(|part| !matches!(part, Component::CurDir))
            .skip(1)
            .collect();
        if inside.as_os_str().is_empty()
            || !inside
                .components()
                .all(|part| matches!(part, Component::Normal(_)))
        {
            return Err(format!("holds {}, which is not in its folder", path.display()));
        }
        let to = home.join(inside);
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder).map_err(unreadable)?;
        }
        let mode = member.header().mode().map_err(unreadable)? & 0o755;
        let mut target = File::options()
            .write(true)
            .create_new(true)
            .mode(mode | 0o600)
            .open(to)
            .map_err(unreadable)?;
        io::copy(&mut member, &mut target).map_err(unreadable)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const SUM: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[rstest]
    #[case::text("  a.tar.gz", true)]
    #[case::binary(" *a.tar.gz", true)]
    #[case::in_this_folder("  ./a.tar.gz", true)]
    #[case::another("  aa.tar.gz", false)]
    #[case::longer("  a.tar.gz.asc", false)]
    fn a_sum_belongs_to_the_file_of_exactly_that_name(#[case] rest: &str, #[case] found: bool) {
        let list = format!("{SUM}x  a.tar.gz\n{}{rest}\n", SUM.to_uppercase());
        assert_eq!(listed_sum(&list, "a.tar.gz"), found.then(|| SUM.to_owned()));
    }
}
