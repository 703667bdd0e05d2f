//! Clusters of ours on the real engine. These are ignored unless asked for (`-- --ignored`, ci/kind does), and
//! then fail where there is no kind or engine: none of them passes without having run.

mod bad_days;
mod breakages;

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use harness::catalog::Environment;
use harness::deploy::{DeployTree, Object};
use harness::progress::Progress;
use harness::target::kind::{ClusterRequest, KindTarget};
use harness::verdict::{Exit, Verdict};
use kind_rs::config::Cluster;
use rustix::process::Signal;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::ground::{Ended, Ground, Running};
use super::process;
use super::report::{case, read};
use super::wait::wait;

/// Longest a cluster may take on a slow machine whose engine has the node's image.
const UP: Duration = Duration::from_mins(4);
/// Longest the stack may take in a cluster that is there.
const STACK_UP: Duration = Duration::from_mins(6);
/// What is passed on of the environment: what to make clusters with.
const PASSED: [&str; 2] = ["CONFORM_KIND_BIN", "CONFORM_NODE_IMAGE"];

/// The files of the stack's own instructions, in their order, that the tree has.
const SEQUENCE: [&str; 8] = [
    "prometheus/prometheus-operator.yaml",
    "prometheus/service-monitors.yaml",
    "prometheus/recording-rules.yaml",
    "prometheus/alert-rules.yaml",
    "jaeger/jaeger-operator.yaml",
    "jaeger/jaeger-instance.yaml",
    "jaeger/opentelemetry-collector.yaml",
    "elk/elasticsearch.yaml",
];

/// A ground whose clusters go with it.
struct Clusters {
    ground: Ground,
    /// The user's own kubeconfig, and when it was written.
    users: Option<(PathBuf, SystemTime)>,
    /// Volumes that belonged to no container before.
    volumes: BTreeSet<String>,
}

impl Clusters {
    fn new() -> Self {
        Self {
            ground: Ground::new(),
            users: users_kubeconfig(),
            volumes: dangling(),
        }
    }

    /// `conform` on the ground.
    fn conform(&self, arguments: &[&str]) -> Command {
        let mut command = self.ground.conform(arguments.iter().copied());
        for name in PASSED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    fn start(&self, arguments: &[&str]) -> Running {
        self.ground.start(self.conform(arguments))
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> Ended {
        self.ok_within(UP, arguments)
    }

    #[track_caller]
    fn ok_within(&self, bound: Duration, arguments: &[&str]) -> Ended {
        let begin = Instant::now();
        let ended = self.start(arguments).ends(bound);
        println!("conform {}: {:.1?}", arguments.join(" "), begin.elapsed());
        assert_eq!(ended.code, 0, "{arguments:?}: {ended}");
        ended
    }

    #[track_caller]
    fn up(&self, name: &str) -> Ended {
        self.ok(&["up", "--target", "kind", "--bare", "--name", name])
    }

    /// What so many pods emit is acknowledged whole, and Elasticsearch has as many documents.
    #[track_caller]
    fn assert_stored(&self, kubeconfig: &Path, stack: &str, pods: &str) {
        const RECORDS: u64 = 20_000;
        let (count, suffix) = (RECORDS.to_string(), format!("emitted-by-{pods}"));
        let ended = self.ok(&[
            "emit",
            "logs",
            "--bulk=http://elasticsearch.monitoring:9200/_bulk",
            "--rate=5000",
            "--count",
            &count,
            "--suffix",
            &suffix,
            "--in-cluster",
            stack,
            "--pods",
            pods,
            "--json",
        ]);
        let emitted: Value = serde_json::from_str(&ended.stdout).expect("it prints JSON");
        assert_eq!(emitted["acknowledged"], RECORDS, "{ended}");
        let by: Vec<&Value> = emitted["pods"]
            .as_array()
            .expect("it lists its pods")
            .iter()
            .collect();
        assert_eq!(by.len().to_string(), pods, "{ended}");
        for pod in &by {
            println!(
                "  {}: {} records, {} per CPU second",
                pod["pod"], pod["acknowledged"], pod["report"]["records_per_cpu_second"]
            );
        }
        let seeds: BTreeSet<String> = by.iter().map(|pod| pod["figures"]["seed"].to_string()).collect();
        assert_eq!(seeds.len(), by.len(), "each pod has a seed of its own: {ended}");
        let path =
            format!("/api/v1/namespaces/monitoring/services/elasticsearch:9200/proxy/*-{suffix}/_count");
        wait("the documents to be searchable", UP, || {
            let answer: Value = serde_json::from_str(&kubectl(kubeconfig, &["get", "--raw", &path]))
                .expect("Elasticsearch answers JSON");
            match answer["count"].as_u64() {
                Some(RECORDS) => Ok(()),
                Some(more) if more > RECORDS => panic!("{more} documents are of {RECORDS} records"),
                _ => Err(answer.to_string()),
            }
        });
    }

    /// The instructions' own `kubectl apply -f`, file by file, takes what the overlay renders, and the same again
    /// changes nothing. Certificates are cert-manager's, whose definitions this cluster lacks.
    #[track_caller]
    fn assert_kubectl_applies(&self, kubeconfig: &Path) {
        let root = suites::root();
        let prepared = harness::catalog::cache_folder().join("airgap/images").exists();
        let overlay = root
            .join("deploy/overlays")
            .join(if prepared { "airgap" } else { "kind" });
        let rendered = kubectl(kubeconfig, &["kustomize", &overlay.display().to_string()]);
        let rendered = DeployTree::parse(&root, &[(overlay, rendered)]).expect("the rendered objects read");
        let tree = DeployTree::load(&root.join("deploy")).expect("the tree reads");
        for name in SEQUENCE {
            let declared = tree.objects().iter().filter(|object| object.file.ends_with(name));
            let declared: BTreeSet<String> = declared.map(Object::id).collect();
            let objects: Vec<&Value> = rendered
                .objects()
                .iter()
                .filter(|object| declared.contains(&object.id()))
                .filter(|object| !object.text("/apiVersion").starts_with("cert-manager.io/"))
                .map(|object| &object.value)
                .collect();
            assert!(!objects.is_empty(), "the overlay has nothing of {name}");
            let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
            let file = self.ground.path().join(name.replace('/', "-"));
            fs::write(&file, list.to_string()).expect("a file can be written");
            let apply = ["apply", "-f", &file.display().to_string()];
            let said = kubectl(kubeconfig, &apply);
            assert_eq!(said.lines().count(), objects.len(), "{name}: {said}");
            let again = kubectl(kubeconfig, &apply);
            assert!(
                again.lines().all(|line| line.ends_with(" unchanged")),
                "{name}: {again}"
            );
        }
    }

    /// Cases run on the stack that is there, one on its servers and one on a clone in a namespace of its own.
    #[track_caller]
    fn assert_cases_run(&self, stack: &str) {
        let cases = ["alerts/declared", "metrics/retention-time"];
        let ran = self.ok_within(
            STACK_UP,
            &[
                "run", "--target", "kind", "--name", stack, "--case", cases[0], "--case", cases[1],
            ],
        );
        let report = read(&self.ground.report());
        assert_eq!(report.run.target, "kind");
        for id in cases {
            assert_eq!(case(&report, id).verdict, Verdict::Pass, "{ran}");
        }
        let clone = self.ground.report().join("artifacts/metrics/retention-time");
        let objects = files_named(&clone, "objects.json");
        assert!(!objects.is_empty(), "no clone of the cluster was made: {ran}");
        let status = self.ok(&["status"]);
        let line = format!("cluster conform-{stack}: runs\n");
        assert!(status.stdout.contains(&line), "the run left it: {status}");
    }

    /// The same stack as somebody else's is asked through its context, and written to only where that is allowed.
    #[track_caller]
    fn assert_asked_as_somebody_elses(&self, kubeconfig: &Path, stack: &str) {
        let (kubeconfig, context) = (kubeconfig.display().to_string(), format!("kind-conform-{stack}"));
        let existing = [
            "run",
            "--target",
            "existing",
            "--context",
            &context,
            "--kubeconfig",
            &kubeconfig,
        ];
        let asked = [&existing[..], &["--case", "alerts/declared"]].concat();
        let ran = self.ok_within(STACK_UP, &asked);
        assert!(ran.stderr.contains("the stack is only asked"), "{ran}");
        assert_eq!(
            case(&read(&self.ground.report()), "alerts/declared").verdict,
            Verdict::Pass
        );

        let writes = [&existing[..], &["--case", "logs/loki"]].concat();
        let spared = self.start(&writes).ends(STACK_UP);
        let report = read(&self.ground.report());
        let one = case(&report, "logs/loki");
        assert_eq!(one.verdict, Verdict::Skipped, "{spared}");
        let why = one.reason.clone().unwrap_or_default();
        assert!(why.contains("--allow-disruptive lets it"), "{why}");

        let allowed = [&writes[..], &["--allow-disruptive"]].concat();
        let ran = self.ok_within(STACK_UP, &allowed);
        assert!(ran.stderr.contains("logs/loki pushes lines"), "{ran}");
        assert_eq!(
            case(&read(&self.ground.report()), "logs/loki").verdict,
            Verdict::Pass
        );

        let another = self.start(&[
            "run",
            "--target",
            "existing",
            "--context",
            "nobodys",
            "--kubeconfig",
            &kubeconfig,
        ]);
        let ended = another.ends(UP);
        assert_eq!(ended.code, i32::from(Exit::Environment.code()), "{ended}");
        assert!(ended.stdout.contains("has no context nobodys"), "{ended}");
    }

    /// The target as the command has it.
    fn target(&self) -> KindTarget {
        KindTarget::new(&self.ground.runs(), Environment::of_process()).expect("there is a kind")
    }

    /// No container, network, volume, process or file is left, and the user's kubeconfig is as it was.
    #[track_caller]
    fn assert_clean(&self) {
        process::gone(self.ground.path());
        let clusters = self.ground.runs().join("clusters");
        let containers = docker(&["ps", "--all", "--format", "{{.Names}} {{.Mounts}}", "--no-trunc"]);
        assert!(
            !containers.contains(&clusters.display().to_string()),
            "{containers}"
        );
        let networks = docker(&["network", "ls", "--format", "{{.Name}}"]);
        let target = self.target();
        assert!(
            !networks.lines().any(|name| name == target.clusters().network()),
            "{networks}"
        );
        let left: Vec<String> = dangling().difference(&self.volumes).cloned().collect();
        assert_eq!(left, Vec::<String>::new(), "volumes");
        self.ground.assert_clean();
        assert_eq!(users_kubeconfig(), self.users, "the user's kubeconfig");
    }
}

impl Drop for Clusters {
    fn drop(&mut self) {
        // A test that failed must leave no cluster behind either.
        if self.ground.runs().join("clusters").exists() {
            let ended = self.start(&["down", "--all"]).ends(UP);
            if ended.code != 0 {
                eprintln!("{ended}");
            }
        }
    }
}

fn users_kubeconfig() -> Option<(PathBuf, SystemTime)> {
    let path = match std::env::var_os("KUBECONFIG") {
        Some(path) => PathBuf::from(path),
        None => Path::new(&std::env::var_os("HOME")?).join(".kube/config"),
    };
    let written = fs::metadata(&path).ok()?.modified().ok()?;
    Some((path, written))
}

fn dangling() -> BTreeSet<String> {
    let listed = docker(&["volume", "ls", "--quiet", "--filter", "dangling=true"]);
    listed.lines().map(str::to_owned).collect()
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker")
        .args(arguments)
        .output()
        .expect("docker starts");
    assert!(output.status.success(), "docker {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("docker prints text")
}

/// What kubectl prints: that of PATH, or the one that ci/airgap/prepare made.
fn kubectl(kubeconfig: &Path, arguments: &[&str]) -> String {
    let prepared = harness::catalog::cache_folder().join("airgap/bin/kubectl");
    let program = if prepared.exists() {
        prepared
    } else {
        "kubectl".into()
    };
    let output = Command::new(program)
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(arguments)
        .output()
        .expect("kubectl starts");
    assert!(output.status.success(), "kubectl {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("kubectl prints text")
}

/// The files of that name below a folder.
fn files_named(folder: &Path, name: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_named(&path, name));
        } else if path.file_name().is_some_and(|is| is == name) {
            found.push(path);
        }
    }
    found
}

/// The file that `up` names.
fn kubeconfig(up: &Ended) -> PathBuf {
    let (_, rest) = up
        .stdout
        .split_once("--kubeconfig ")
        .expect("up names the kubeconfig");
    rest.split_whitespace().next().expect("a path follows").into()
}

/// Whether the apiserver of a kubeconfig takes connections.
fn answers(kubeconfig: &Path) -> bool {
    let text = fs::read_to_string(kubeconfig).expect("the kubeconfig can be read");
    let (_, rest) = text
        .split_once("server: https://")
        .expect("it names the apiserver");
    let address = rest.lines().next().expect("an address follows").trim();
    TcpStream::connect(address).is_ok()
}

#[test]
#[ignore = "needs kind and a container engine; run by ci/kind"]
fn a_cluster_is_made_once_taken_as_it_is_replaced_and_removed_whole() {
    let clusters = Clusters::new();
    let up = clusters.up("life");
    assert!(up.stderr.contains("conform-life: there is none"), "{up}");
    let kubeconfig = kubeconfig(&up);
    assert!(kubeconfig.starts_with(clusters.ground.runs()), "{up}");
    assert!(answers(&kubeconfig));
    let status = clusters.ok(&["status"]);
    assert!(
        status.stdout.starts_with("cluster conform-life: runs\n"),
        "{status}"
    );

    let again = clusters.up("life");
    assert!(again.stderr.contains("fits and is taken"), "{again}");
    assert!(answers(&kubeconfig));

    // Another configuration is another cluster.
    let target = clusters.target();
    let request = ClusterRequest {
        stack: "life".to_owned(),
        config: Cluster {
            runtime_config: [("api/alpha".to_owned(), "false".to_owned())].into(),
            ..Cluster::default()
        },
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let held = runtime
        .block_on(target.cluster(request, &Progress::silent(), &CancellationToken::new()))
        .expect("the cluster comes up");
    assert_eq!(
        held.made.as_deref(),
        Some("the one that is there is of another configuration")
    );
    let taken = clusters.start(&["down", "--name", "life"]).ends(UP);
    assert_eq!(taken.code, i32::from(Exit::Environment.code()), "{taken}");
    assert!(
        taken.verdict_line().starts_with("another run has the cluster"),
        "{taken}"
    );
    drop(held);

    let down = clusters.ok(&["down", "--name", "life"]);
    assert_eq!(down.stdout, "cluster conform-life: removed\n", "{down}");
    // The network stays for the next one.
    clusters.ok(&["down", "--all"]);
    clusters.assert_clean();
}

#[test]
#[ignore = "needs kind and a container engine; run by ci/kind"]
fn several_live_side_by_side_and_one_name_is_one_runs() {
    let clusters = Clusters::new();
    let start = |name| clusters.start(&["up", "--target", "kind", "--bare", "--name", name]);
    let mut first = start("first");
    first.said_within("creating cluster", UP);
    let same = start("first").ends(UP);
    assert!(
        same.verdict_line()
            .starts_with("another run has the cluster conform-first"),
        "{same}"
    );
    let second = start("second");
    for ended in [first.ends(UP), second.ends(UP)] {
        assert_eq!(ended.code, 0, "{ended}");
        assert!(answers(&kubeconfig(&ended)));
    }
    let status = clusters.ok(&["status"]);
    for name in ["first", "second"] {
        let line = format!("cluster conform-{name}: runs\n");
        assert!(status.stdout.contains(&line), "{status}");
    }
    let down = clusters.ok(&["down", "--all"]);
    assert_eq!(
        down.stdout,
        "cluster conform-first: removed\ncluster conform-second: removed\n"
    );
    clusters.assert_clean();
}

#[test]
#[ignore = "needs kind and a container engine; run by ci/kind"]
fn what_a_killed_run_left_is_replaced_by_the_next() {
    let clusters = Clusters::new();
    let mut killed = clusters.start(&["up", "--target", "kind", "--bare", "--name", "killed"]);
    killed.said_within("Starting control-plane", UP);
    kill(killed);
    let status = clusters.start(&["status"]).ends(UP);
    assert_eq!(status.code, i32::from(Exit::Environment.code()), "{status}");
    assert!(status.stdout.contains("its maker was killed"), "{status}");
    let up = clusters.up("killed");
    assert!(
        up.stderr
            .contains("the one that is there was not made to its end"),
        "{up}"
    );
    assert!(answers(&kubeconfig(&up)));
    clusters.ok(&["down", "--all"]);
    clusters.assert_clean();
}

#[test]
#[ignore = "needs kind and a container engine; run by ci/kind"]
fn a_run_that_is_killed_at_any_moment_leaves_nothing_that_down_all_does_not_find() {
    let count: u32 = std::env::var("KILLS").map_or(6, |count| count.parse().expect("KILLS is a number"));
    for number in 0..count {
        let clusters = Clusters::new();
        // Spread over the whole creation, and a little beyond its end.
        let moment = Duration::from_millis(100) + Duration::from_millis(16_000) * number / count.max(1);
        let begin = Instant::now();
        let mut running = clusters.start(&["up", "--target", "kind", "--bare", "--name", "kill"]);
        wait("the moment", UP, || {
            let over = begin.elapsed() >= moment || running.ended().is_some();
            over.then_some(()).ok_or_else(|| "not yet".to_owned())
        });
        let said = running.says();
        kill(running);
        let down = clusters.ok(&["down", "--all"]);
        println!(
            "killed after {moment:.1?} at {:?}: {:?}",
            said.lines().last().unwrap_or_default(),
            down.stdout.trim()
        );
        clusters.assert_clean();
    }
}

#[test]
#[ignore = "needs kind and a container engine; run by ci/kind"]
fn an_interrupted_creation_clears_up_after_itself() {
    let clusters = Clusters::new();
    let mut running = clusters.start(&["up", "--target", "kind", "--bare", "--name", "interrupted"]);
    running.said_within("Starting control-plane", UP);
    process::signal_to(running.pid(), Signal::INT);
    let ended = running.ends(UP);
    assert_eq!(ended.code, i32::from(Exit::Environment.code()), "{ended}");
    let status = clusters.ok(&["status"]);
    assert!(status.stdout.starts_with("no warm stack runs"), "{status}");
    clusters.ok(&["down", "--all"]);
    clusters.assert_clean();
}

#[test]
#[ignore = "needs kind, a container engine and the stack's images; run by ci/kind"]
fn the_stack_comes_up_in_a_cluster_stores_what_pods_emit_and_goes_with_it() {
    let clusters = Clusters::new();
    let up = clusters.ok_within(UP + STACK_UP, &["up", "--target", "kind", "--name", "stack"]);
    assert!(up.stderr.contains("objects are ready"), "{up}");
    assert!(answers(&kubeconfig(&up)));
    // What is up is what was asked for: the same again changes nothing.
    let again = clusters.ok_within(STACK_UP, &["up", "--target", "kind", "--name", "stack"]);
    assert!(again.stderr.contains("fits and is taken"), "{again}");
    for pods in ["1", "2"] {
        clusters.assert_stored(&kubeconfig(&up), "stack", pods);
    }
    clusters.assert_kubectl_applies(&kubeconfig(&up));
    clusters.assert_cases_run("stack");
    clusters.assert_asked_as_somebody_elses(&kubeconfig(&up), "stack");
    let down = clusters.ok(&["down", "--all"]);
    assert_eq!(down.stdout, "cluster conform-stack: removed\n", "{down}");
    clusters.assert_clean();
}

#[test]
#[ignore = "needs kind and a container engine; run by ci/kind"]
fn somebody_elses_cluster_is_left_alone() {
    struct Removed(String);
    impl Drop for Removed {
        fn drop(&mut self) {
            docker(&["rm", "--volumes", &self.0]);
        }
    }
    let clusters = Clusters::new();
    let stack = format!("foreign-{}", std::process::id());
    let label = format!("label=io.x-k8s.kind.cluster=conform-{stack}");
    let image = docker(&["image", "ls", "--quiet", "kindest/node"]);
    let image = image.lines().next().expect("there is an image of nodes");
    let id = docker(&["create", "--label", label.trim_start_matches("label="), image]);
    let theirs = Removed(id.trim().to_owned());
    let up = clusters
        .start(&["up", "--target", "kind", "--bare", "--name", &stack])
        .ends(UP);
    assert_eq!(up.code, i32::from(Exit::Environment.code()), "{up}");
    assert!(up.verdict_line().contains("that is not ours"), "{up}");
    clusters.ok(&["down", "--all"]);
    let listed = docker(&["ps", "--all", "--no-trunc", "--quiet", "--filter", &label]);
    assert_eq!(listed.trim(), theirs.0);
    drop(theirs);
    clusters.assert_clean();
}

#[test]
fn no_engine_is_said_before_anything_is_made() {
    let ground = Ground::new();
    let mut command = ground.conform(["up", "--target", "kind", "--bare"]);
    command
        .env("CONFORM_KIND_BIN", "/bin/false")
        .env("PATH", "/nowhere");
    let ended = ground.end(command);
    assert_eq!(ended.code, i32::from(Exit::Environment.code()), "{ended}");
    assert!(
        ended
            .verdict_line()
            .starts_with("no container engine answers: docker does not start: "),
        "{ended}"
    );
    assert!(ended.verdict_line().contains("install docker"), "{ended}");
    ground.assert_clean();
}

/// Kills a command without any chance to clear up, and waits for its end.
fn kill(running: Running) {
    process::signal_to(running.pid(), Signal::KILL);
    running.ends(UP);
}
