//! A collector: its builder, its sums, its components, its name in the vendor's archive.

use super::*;

const SUMS: &str = "example.org/otlp v1.0.0 h1:f1GRFerhTMKQma+awCoC9T820ecWeGSdF+xAlMHzZzM=\n";

/// A catalog with one collector of an OTLP receiver and a debug exporter, of one module.
fn catalog(place: &Place) -> Catalog {
    let text = format!(
        "components:
  tool:
    version: 1.2.3
    executables:
      tool: [collector]
    variable: CONFORM_TOOL_BIN
    archive:
      url: http://127.0.0.1:9/tool.tar.gz
      names: {{tool: tool-contrib}}
      checksums: http://127.0.0.1:9/sums
    collector:
      builder:
        module: example.org/builder
        version: v1.0.0
        sum: {SUM}
        go-mod-sum: {SUM}
      toolchain: 1.20.0
      components:
        providers: {{}}
        extensions: {{}}
        receivers:
          otlp: example.org/otlp v1.0.0
        processors: {{}}
        connectors: {{}}
        exporters:
          debug: example.org/otlp v1.0.0
      sums: tool.sum
      cold-build: 10s
      disk: 1KB
"
    );
    fs::write(place.path("tool.sum"), SUMS).unwrap();
    Catalog::parse(&place.path("catalog.yaml"), &text).unwrap()
}

/// The text of a collector that knows these receivers; its exporters are always `debug`.
fn collector(receivers: &str) -> String {
    format!(
        r#"case "$1" in
--version) echo tool version 1.2.3 ;;
validate)
    echo "'receivers' unknown type: \"x\" for id: \"x\" (valid values: [{receivers}])" >&2
    echo "'exporters' unknown type: \"x\" for id: \"x\" (valid values: [debug])" >&2
    exit 1 ;;
esac"#
    )
}

/// A go that "builds" a builder, which writes down its configuration and makes sources, and of those a
/// collector of the given receivers; `during` runs in the sources' folder.
fn fake_go(place: &Place, receivers: &str, during: &str) {
    let at = place.folder.path().display();
    let module = place.path("module");
    fs::create_dir_all(&module).unwrap();
    fs::write(module.join("go.mod"), "module example.org/builder\n\ngo 1.20\n").unwrap();
    fs::write(module.join("go.sum"), "").unwrap();
    script(
        &place.path("builder"),
        &format!("cp \"$2\" {at}/manifest.json; echo \"$*\" > {at}/asked"),
    );
    script(&place.path("collector"), &collector(receivers));
    script(
        &place.path("bin/go"),
        &format!(
            r#"case "$1" in
env) echo '{{"GOVERSION": "go1.26.8", "GOPROXY": "https://proxy.invalid", "GOMODCACHE": "{at}/mod", "GOCACHE": "{at}/build"}}' ;;
mod) echo "{{\"Dir\": \"{at}/module\"}}" ;;
build)
    echo "$*" >> {at}/builds
    made=collector
    case "$*" in *example.org/builder) made=builder ;; *) {during} ;; esac
    while [ "$1" != -o ]; do shift; done
    cp {at}/$made "$2" ;;
esac"#
        ),
    );
}

#[tokio::test]
async fn a_collector_is_built_from_what_its_builder_writes() {
    let place = Place::new();
    fake_go(
        &place,
        "otlp",
        &format!("cp go.sum {}/seen", place.folder.path().display()),
    );
    let notes = Notes::default();
    let catalog = catalog(&place);
    let first = place.acquire(&catalog, &[], &notes).await;
    assert_eq!(
        origin_of(&first),
        "built from example.org/builder v1.0.0 with go1.26.8"
    );
    let manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(place.path("manifest.json")).unwrap()).unwrap();
    assert_eq!(
        manifest["receivers"],
        serde_json::json!([{"gomod": "example.org/otlp v1.0.0"}])
    );
    assert_eq!(
        (&manifest["dist"]["name"], &manifest["dist"]["version"]),
        (&"tool".into(), &"1.2.3".into())
    );
    let asked = fs::read_to_string(place.path("asked")).unwrap();
    assert!(
        asked
            .trim_end()
            .ends_with("--skip-compilation --skip-get-modules"),
        "{asked}"
    );
    assert_eq!(fs::read_to_string(place.path("seen")).unwrap(), SUMS);
    let again = place.acquire(&catalog, &[], &notes).await;
    assert!(origin_of(&again).starts_with("cache (built from example.org/builder"));
    assert_eq!(place.builds().len(), 2, "{:?}", place.builds());
    assert!(
        notes.all().contains("the collector of 2 components"),
        "{}",
        notes.all()
    );
}

#[tokio::test]
async fn a_build_that_takes_modules_without_a_hash_is_not_cached() {
    let place = Place::new();
    fake_go(
        &place,
        "otlp",
        &format!("echo 'example.org/new v0.1.0 {SUM}' >> go.sum"),
    );
    let unavailable = place
        .acquire(&catalog(&place), &[], &Notes::default())
        .await
        .unwrap_err();
    assert!(
        unavailable.reason.starts_with(
            "go build: the build took modules whose hashes the catalog's go.sum lacks: example.org/new v0.1.0"
        ),
        "{}",
        unavailable.reason
    );
    assert!(
        unavailable.remedy.starts_with("make the go.sum"),
        "{}",
        unavailable.remedy
    );
    assert_eq!(place.left(), [""; 0]);
}

#[tokio::test]
async fn a_build_without_a_component_that_is_listed_is_not_cached() {
    let place = Place::new();
    fake_go(&place, "nop", ":");
    let unavailable = place
        .acquire(&catalog(&place), &[], &Notes::default())
        .await
        .unwrap_err();
    assert!(
        unavailable.reason.contains("lacks the components receivers/otlp"),
        "{}",
        unavailable.reason
    );
    assert_eq!(place.left(), [""; 0]);
}

#[tokio::test]
async fn a_collector_on_path_without_the_components_is_passed_over_with_their_names() {
    let place = Place::new();
    fake_go(&place, "otlp nop", ":");
    script(&place.path("bin/tool"), &collector("nop"));
    let notes = Notes::default();
    let outcome = place.acquire(&catalog(&place), &[], &notes).await;
    assert!(origin_of(&outcome).starts_with("built from"));
    assert!(
        notes.all().contains("passed over: PATH: ") && notes.all().contains("receivers/otlp"),
        "{}",
        notes.all()
    );
}

#[tokio::test]
async fn the_vendors_name_of_an_executable_is_found_on_path_and_in_a_given_folder() {
    let place = Place::new();
    script(&place.path("bin/tool-contrib"), &collector("otlp nop"));
    let catalog = catalog(&place);
    let found = place.acquire(&catalog, &[], &Notes::default()).await.unwrap();
    assert_eq!(found.executables["tool"], place.path("bin/tool-contrib"));
    script(&place.path("own/tool-contrib"), &collector("otlp"));
    let own = place.path("own").display().to_string();
    let given = place
        .acquire(&catalog, &[("CONFORM_TOOL_BIN", &own)], &Notes::default())
        .await
        .unwrap();
    assert_eq!(given.executables["tool"], place.path("own/tool-contrib"));
}

#[tokio::test]
async fn the_doctor_says_that_a_run_builds_a_collector() {
    let place = Place::new();
    fake_go(&place, "otlp", ":");
    let zip = place.path("mod/cache/download/example.org/builder/@v/v1.0.0.zip");
    fs::create_dir_all(zip.parent().unwrap()).unwrap();
    fs::write(&zip, "").unwrap();
    let lines = catalog(&place)
        .doctor_in(&place.environment(&[]), &place.cache(), &CancellationToken::new())
        .await;
    assert_eq!(lines[0].state, DoctorState::Obtainable);
    assert_eq!(
        lines[0].says,
        "a run builds it from example.org/builder v1.0.0 with go1.26.8, in about 10.0 s on 2 cores with nothing compiled yet"
    );
    assert_eq!(place.builds(), [""; 0]);
}
