//! Assembly end to end, with small scripts in place of Maven and the Java kit.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rstest::rstest;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::PARTS;
use crate::catalog::{Acquired, Catalog, DoctorState, Environment, Unavailable};
use crate::progress::Progress;

const CONTENT: &str = "a jar\n";

/// A folder with a catalog, the sources of an assembly, and a PATH of its own.
struct Place {
    folder: TempDir,
}

impl Place {
    /// Everything an assembly needs; a javac of Java 17, and an mvn that delivers `content`.
    fn new(content: &str) -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let sum = hex::encode(Sha256::digest(CONTENT));
        place.write(
            "sources/jars.lock",
            &format!("lib org.x:core:1.2.3 {sum}\nmodules/net org.x:net:1.2.3 {sum}\n"),
        );
        for part in &PARTS {
            place.write(&format!("sources/{}/conform/A.java", part.source), "class A {}\n");
        }
        for part in &PARTS[1..] {
            place.write(
                &format!("sources/{}/plugin-descriptor.properties", part.source),
                "name=a\n",
            );
        }
        place.write(
            "sources/bin/elasticsearch",
            "#!/bin/sh\necho 'Version: 1.2.3, Build: x'\n",
        );
        place.write("sources/config/elasticsearch.yml", "");
        place.write("sources/config/log4j2.properties", "");
        for tool in ["dirname", "mkdir", "touch", "sh", "echo", "sed"] {
            let real = ["/bin", "/usr/bin"].map(|folder| Path::new(folder).join(tool));
            let real = real.iter().find(|path| path.exists()).unwrap();
            fs::create_dir_all(place.path("bin")).unwrap();
            std::os::unix::fs::symlink(real, place.path("bin").join(tool)).unwrap();
        }
        place.script(
            "mvn",
            &format!(
                "echo \"$*\" >> {at}/resolutions\nfor f in lib/core modules/net/net; do mkdir -p \"$(dirname resolved/$f)\"; \
                 echo '{content}' > resolved/$f-1.2.3.jar; done",
                at = place.folder.path().display(),
                content = content.trim_end()
            ),
        );
        place.script("java", "exit 0");
        place.script("javac", "[ \"$1\" = -version ] && echo javac 17.0.15; exit 0");
        place.script(
            "jar",
            "case $1 in --create) touch \"$3\" ;; *) mkdir -p \"$(dirname \"$4\")\"; echo name=net > \"$4\" ;; esac",
        );
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn script(&self, name: &str, text: &str) {
        let name = format!("bin/{name}");
        self.write(&name, &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(self.path(&name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    fn environment(&self) -> Environment {
        Environment::new([("PATH", self.path("bin"))], 2)
    }

    fn catalog(&self) -> Catalog {
        let text = "components:
  tool:
    version: 1.2.3
    executables:
      elasticsearch: [elasticsearch]
    variable: CONFORM_TOOL_BIN
    maven:
      folder: sources
      plugin: 3.8.1
      java: 17
      stands-in: 'lifecycle: a stand-in'
      lacks: [sql, painless]
      cold-build: 10s
      disk: 1MB
";
        Catalog::parse(&self.path("catalog.yaml"), text).unwrap()
    }

    async fn acquire(&self) -> Result<Acquired, Unavailable> {
        let mut acquisition = self
            .catalog()
            .acquire_in(
                &self.environment(),
                &["tool"],
                &self.path("cache"),
                &Progress::silent(),
                &CancellationToken::new(),
            )
            .await;
        acquisition.swap_remove("tool").unwrap()
    }

    fn resolutions(&self) -> usize {
        fs::read_to_string(self.path("resolutions"))
            .unwrap_or_default()
            .lines()
            .count()
    }

    /// Whether the cache holds an entry, or the beginnings of one.
    fn cached(&self) -> bool {
        fs::read_dir(self.path("cache/servers/tool"))
            .into_iter()
            .flatten()
            .flatten()
            .any(|entry| entry.path().is_dir())
    }
}

#[tokio::test]
async fn an_assembly_has_the_layout_of_a_distribution_and_is_made_once() {
    let place = Place::new(CONTENT);
    let first = place.acquire().await.unwrap();
    assert_eq!(
        first.origin,
        "assembled from 2 Maven artifacts with Java 17.0.15; lifecycle: a stand-in; lacks SQL, Painless"
    );
    let home = first.executables["elasticsearch"]
        .parent()
        .unwrap()
        .parent()
        .unwrap();
    for file in [
        "lib/core-1.2.3.jar",
        "modules/net/net-1.2.3.jar",
        "modules/net/plugin-descriptor.properties",
        "modules/conform-root/plugin-descriptor.properties",
        "plugins/conform-lifecycle/conform-lifecycle.jar",
        "launcher/launcher.jar",
        "config/log4j2.properties",
    ] {
        assert!(home.join(file).is_file(), "{file}");
    }
    assert!(!home.join("making").exists(), "the workshop is left behind");
    let second = place.acquire().await.unwrap();
    assert_eq!(second.origin, format!("cache ({})", first.origin));
    assert_eq!(place.resolutions(), 1);
}

#[tokio::test]
async fn changed_sources_are_another_assembly() {
    let place = Place::new(CONTENT);
    let first = place.acquire().await.unwrap();
    place.write("sources/root/conform/A.java", "class A { int changed; }\n");
    let second = place.acquire().await.unwrap();
    assert_ne!(first.executables, second.executables);
    assert_eq!(place.resolutions(), 2);
}

#[tokio::test]
async fn a_jar_of_another_hash_is_not_taken() {
    let place = Place::new("another jar\n");
    let unavailable = place.acquire().await.unwrap_err();
    assert!(
        unavailable.reason.contains("org.x:core:1.2.3 has SHA-256 ")
            && unavailable.reason.contains("jars.lock says ")
            && unavailable.reason.contains("it was not taken"),
        "{}",
        unavailable.reason
    );
    assert!(
        unavailable.remedy.contains("Maven's local repository"),
        "{}",
        unavailable.remedy
    );
    assert!(!place.cached());
}

#[rstest]
#[case::no_maven("mvn", "there is no mvn on PATH", "put Maven 3.6 or newer on PATH")]
#[case::no_java("java", "there is no java on PATH", "install a JDK 17 or newer")]
#[case::no_compiler("javac", "there is no javac on PATH", "install a JDK 17 or newer")]
#[case::no_jar("jar", "there is no jar on PATH", "install a JDK 17 or newer")]
#[tokio::test]
async fn a_missing_tool_is_named_before_anything_is_made(
    #[case] tool: &str,
    #[case] reason: &str,
    #[case] remedy: &str,
) {
    let place = Place::new(CONTENT);
    place.remove(&format!("bin/{tool}"));
    let unavailable = place.acquire().await.unwrap_err();
    assert!(unavailable.reason.contains(reason), "{}", unavailable.reason);
    assert!(unavailable.remedy.contains(remedy), "{}", unavailable.remedy);
    assert!(!place.cached());
    let lines = place
        .catalog()
        .doctor_in(
            &place.environment(),
            &place.path("cache"),
            &CancellationToken::new(),
        )
        .await;
    assert_eq!(lines[0].state, DoctorState::Unavailable);
    assert!(lines[0].says.contains(reason), "{}", lines[0].says);
}

#[rstest]
#[case::too_old(
    "javac",
    "echo javac 11.0.2",
    "says `javac 11.0.2`, Java 17 or newer is wanted"
)]
#[case::compiler_fails(
    "javac",
    "[ \"$1\" = -version ] && echo javac 21 || { echo 'A.java:1: error: no symbol'; exit 1; }",
    "javac fails for launcher: A.java:1: error: no symbol"
)]
#[case::unreachable(
    "mvn",
    "echo '[ERROR] Could not resolve org.x:core:1.2.3'; exit 1",
    "mvn cannot resolve the jars: Could not resolve org.x:core:1.2.3"
)]
#[case::nothing_delivered("mvn", "exit 0", "org.x:core:1.2.3 is not where it was to be")]
#[tokio::test]
async fn a_tool_that_fails_is_quoted_and_leaves_nothing(
    #[case] tool: &str,
    #[case] script: &str,
    #[case] says: &str,
) {
    let place = Place::new(CONTENT);
    place.script(tool, script);
    let unavailable = place.acquire().await.unwrap_err();
    assert!(unavailable.reason.contains(says), "{}", unavailable.reason);
    assert!(!place.cached());
}

#[tokio::test]
async fn a_broken_lock_file_is_named_with_its_line() {
    let place = Place::new(CONTENT);
    place.write("sources/jars.lock", "# jars\nlib org.x:core 0\n");
    let unavailable = place.acquire().await.unwrap_err();
    assert!(
        unavailable
            .reason
            .contains("jars.lock:2: `org.x:core` is not group:artifact:version"),
        "{}",
        unavailable.reason
    );
}

#[tokio::test]
async fn doctor_says_what_a_run_would_assemble_and_what_it_lacks() {
    let place = Place::new(CONTENT);
    let lines = place
        .catalog()
        .doctor_in(
            &place.environment(),
            &place.path("cache"),
            &CancellationToken::new(),
        )
        .await;
    assert_eq!(lines[0].state, DoctorState::Obtainable);
    assert!(
        lines[0].says.contains("assembles it from 2 Maven artifacts")
            && lines[0]
                .says
                .ends_with("lifecycle: a stand-in; lacks SQL, Painless"),
        "{}",
        lines[0].says
    );
    assert!(!place.path("cache").exists());
}
