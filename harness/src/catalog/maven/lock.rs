//! The lock file: which jar goes where, pinned by its hash.

use std::path::Path;

use super::MavenError;

/// The jars of an assembly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lock {
    /// In the file's order.
    pub(super) jars: Vec<Jar>,
}

/// A jar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Jar {
    /// Its folder in the home.
    pub(super) folder: String,
    /// Maven's group.
    pub(super) group: String,
    /// Maven's artifact.
    pub(super) name: String,
    /// Maven's version.
    pub(super) version: String,
    /// SHA-256 of its content.
    pub(super) sha256: String,
}

impl Jar {
    /// The name of its file.
    pub(super) fn file(&self) -> String {
        format!("{}-{}.jar", self.name, self.version)
    }

    /// Group, artifact and version.
    pub(super) fn artifact(&self) -> String {
        format!("{}:{}:{}", self.group, self.name, self.version)
    }
}

impl Lock {
    /// Reads a lock file.
    pub(super) fn read(path: &Path) -> Result<Self, MavenError> {
        let text = std::fs::read_to_string(path).map_err(|error| MavenError::Source {
            path: path.to_owned(),
            line: None,
            why: error.to_string(),
        })?;
        Self::parse(&text).map_err(|(line, why)| MavenError::Source {
            path: path.to_owned(),
            line: Some(line),
            why,
        })
    }

    /// Parses lines of folder, `group:artifact:version` and SHA-256; `#` begins a comment. An error
    /// has its line, from 1.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut jars: Vec<Jar> = Vec::new();
        let mut lines = 0;
        for (at, line) in text.lines().enumerate() {
            lines = at + 1;
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let jar = jar(line).map_err(|why| (lines, why))?;
            if jars
                .iter()
                .any(|other| other.folder == jar.folder && other.file() == jar.file())
            {
                return Err((
                    lines,
                    format!("{} is in {} already; remove one", jar.artifact(), jar.folder),
                ));
            }
            jars.push(jar);
        }
        if jars.is_empty() {
            return Err((
                lines.max(1),
                "there are no jars; write folder, group:artifact:version and SHA-256".to_owned(),
            ));
        }
        Ok(Self { jars })
    }

    /// The folders, each once, in order.
    pub(super) fn folders(&self) -> impl Iterator<Item = &str> {
        let folder =
            |jar: &'_ Jar, at: usize| self.jars[..at].iter().all(|before| before.folder != jar.folder);
        self.jars
            .iter()
            .enumerate()
            .filter(move |(at, jar)| folder(jar, *at))
            .map(|(_, jar)| jar.folder.as_str())
    }

    /// The jars that are modules of the server, which carry their descriptors: those that give their
    /// folder its name.
    pub(super) fn modules(&self) -> impl Iterator<Item = &Jar> {
        self.jars
            .iter()
            .filter(|jar| jar.folder.strip_prefix("modules/") == Some(&jar.name))
    }
}

fn jar(line: &str) -> Result<Jar, String> {
    let mut words = line.split_whitespace();
    let (Some(folder), Some(artifact), Some(sha256), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(format!(
            "`{line}` is not folder, group:artifact:version and SHA-256"
        ));
    };
    // Whatever the file says, nothing is written outside the home.
    if !folder.split('/').all(is_word) {
        return Err(format!(
            "folder `{folder}` does not lie in the home; write it like modules/transport-netty4"
        ));
    }
    let mut parts = artifact.split(':');
    let (Some(group), Some(name), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(format!("`{artifact}` is not group:artifact:version"));
    };
    if let Some(part) = [group, name, version].into_iter().find(|part| !is_word(part)) {
        return Err(format!(
            "`{part}` of `{artifact}` is no Maven name; letters, digits, dots, dashes and underscores are"
        ));
    }
    let is_sum = sha256.len() == 64
        && sha256
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_sum {
        return Err(format!(
            "`{sha256}` is not a SHA-256 in hexadecimal; copy it from sha256sum"
        ));
    }
    Ok(Jar {
        folder: folder.to_owned(),
        group: group.to_owned(),
        name: name.to_owned(),
        version: version.to_owned(),
        sha256: sha256.to_owned(),
    })
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    const SUM: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn folders_and_modules_are_told_from_the_jars() {
        let text = format!(
            "# a comment\nlib a:b:1 {SUM}\nmodules/m a:m:2 {SUM} # the module\nmodules/m a:b:1 {SUM}\nlib a:c:1 {SUM}\n"
        );
        let lock = Lock::parse(&text).unwrap();
        assert_eq!(lock.folders().collect::<Vec<_>>(), ["lib", "modules/m"]);
        let modules: Vec<String> = lock.modules().map(Jar::file).collect();
        assert_eq!(modules, ["m-2.jar"]);
    }

    #[rstest]
    #[case::nothing("# nothing\n", 1, "there are no jars")]
    #[case::words("lib a:b:1", 1, "is not folder, group:artifact:version and SHA-256")]
    #[case::upwards(&format!("lib a:b:1 {SUM}\n../lib a:c:1 {SUM}"), 2, "does not lie in the home")]
    #[case::absolute(&format!("/lib a:b:1 {SUM}"), 1, "does not lie in the home")]
    #[case::parts(&format!("lib a:b {SUM}"), 1, "is not group:artifact:version")]
    #[case::markup(&format!("lib a:b:<1> {SUM}"), 1, "is no Maven name")]
    #[case::sum("lib a:b:1 0123", 1, "is not a SHA-256")]
    #[case::twice(&format!("lib a:b:1 {SUM}\nlib c:b:1 {SUM}"), 2, "is in lib already")]
    fn a_mistake_is_named_with_its_line(#[case] text: &str, #[case] at: usize, #[case] says: &str) {
        let (line, why) = Lock::parse(text).unwrap_err();
        assert_eq!(line, at);
        assert!(why.contains(says), "{why}");
    }

    proptest! {
        /// Whatever parses stays inside the home and cannot break out of the pom's XML.
        #[test]
        fn nothing_leaves_the_home(text in "[a-z./:<&\" -]{0,40}") {
            if let Ok(lock) = Lock::parse(&format!("{text} {SUM}")) {
                for jar in lock.jars {
                    let path = Path::new(&jar.folder).join(jar.file());
                    prop_assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
                    prop_assert!(!jar.artifact().contains(['<', '&', '"', '/']));
                }
            }
        }
    }
}
