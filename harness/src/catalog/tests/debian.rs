//! A library: the system's, and one from a Debian package.

use super::*;

/// A catalog with one library that shifts clocks.
fn catalog(place: &Place) -> Catalog {
    let text = format!(
        "components:
  tool:
    version: 0.9.10
    executables:
      libtool.so.1: [clock-shift]
    shown-by:
      libtool.so.1: shifted-clock
    variable: CONFORM_TOOL_LIB
    system: [{at}/lib/*/tool, {at}/lib64]
    debian:
      package: libtool
",
        at = place.folder.path().display()
    );
    Catalog::parse(Path::new("catalog.yaml"), &text).unwrap()
}

/// A `date` whose clock is shifted by libraries that say `shifts`, as libfaketime's does.
fn fake_date(place: &Place) {
    script(
        &place.path("bin/date"),
        r#"library=$LD_PRELOAD; unset LD_PRELOAD
if grep -q shifts "$library" && [ "$FAKETIME" = "2001-02-15 12:00:00" ]; then echo 2001-02; else echo 2026-11; fi"#,
    );
}

/// An apt-get that knows the package once its lists were updated (or `from_the_start`), and a dpkg-deb
/// that unpacks it.
fn fake_debian(place: &Place, version: &str, from_the_start: bool) {
    let at = place.folder.path().display();
    if from_the_start {
        fs::write(place.path("updated"), "").unwrap();
    }
    script(
        &place.path("bin/apt-get"),
        &format!(
            r#"echo "$*" >> {at}/asked
for last; do :; done
case "$*" in
*--print-uris*) [ -e {at}/updated ] ;;
*update*) touch {at}/updated ;;
*) if [ -e {at}/updated ]; then echo deb > ${{last}}_1_all.deb
   else echo "E: Unable to locate package $last" >&2; exit 100; fi ;;
esac"#
        ),
    );
    script(
        &place.path("bin/dpkg-deb"),
        &format!(
            r#"case "$1" in
--field) echo {version} ;;
--extract) mkdir -p "$3/usr/lib/x/tool"; echo shifts > "$3/usr/lib/x/tool/libtool.so.1" ;;
esac"#
        ),
    );
}

fn asked(place: &Place) -> String {
    fs::read_to_string(place.path("asked")).unwrap_or_default()
}

#[tokio::test]
async fn the_systems_library_is_taken_where_it_shifts_a_clock() {
    let place = Place::new();
    fake_date(&place);
    fs::create_dir_all(place.path("lib/x86/tool")).unwrap();
    fs::write(place.path("lib/x86/tool/libtool.so.1"), "shifts").unwrap();
    let found = place
        .acquire(&catalog(&place), &[], &Notes::default())
        .await
        .unwrap();
    assert_eq!(
        found.executables["libtool.so.1"],
        place.path("lib/x86/tool/libtool.so.1")
    );
    assert_eq!(
        found.origin,
        format!("system ({})", place.path("lib/x86/tool").display())
    );
}

#[tokio::test]
async fn a_library_that_shifts_no_clock_is_passed_over_for_the_package() {
    let place = Place::new();
    fake_date(&place);
    fake_debian(&place, "0.9.10-2.1", true);
    fs::create_dir_all(place.path("lib64")).unwrap();
    fs::write(place.path("lib64/libtool.so.1"), "rests").unwrap();
    let notes = Notes::default();
    let catalog = catalog(&place);
    let first = place.acquire(&catalog, &[], &notes).await;
    assert_eq!(origin_of(&first), "unpacked from Debian's libtool 0.9.10-2.1");
    assert!(
        notes.all().contains("passed over: system: ") && notes.all().contains("does not shift the clock"),
        "{}",
        notes.all()
    );
    assert_eq!(asked(&place), "-qq download libtool\n");
    let again = place.acquire(&catalog, &[], &notes).await;
    assert_eq!(
        origin_of(&again),
        "cache (unpacked from Debian's libtool 0.9.10-2.1)"
    );
    assert_eq!(place.left().len(), 2, "{:?}", place.left());
}

#[tokio::test]
async fn lists_of_packages_that_are_missing_are_asked_for_beside_the_systems() {
    let place = Place::new();
    fake_date(&place);
    fake_debian(&place, "0.9.10+20240921-1", false);
    let found = place.acquire(&catalog(&place), &[], &Notes::default()).await;
    assert_eq!(
        origin_of(&found),
        "unpacked from Debian's libtool 0.9.10+20240921-1"
    );
    let asked = asked(&place);
    let update = asked.lines().nth(1).unwrap();
    assert!(
        update.contains(&format!("Dir::State::Lists={}", place.cache().display())),
        "{asked}"
    );
    assert_eq!(place.left().len(), 2, "{:?}", place.left());
}

#[tokio::test]
async fn a_package_of_another_version_is_not_taken() {
    let place = Place::new();
    fake_date(&place);
    fake_debian(&place, "0.9.8-1", true);
    let unavailable = place
        .acquire(&catalog(&place), &[], &Notes::default())
        .await
        .unwrap_err();
    assert!(
        unavailable
            .reason
            .starts_with("Debian package: package libtool has version 0.9.8-1, expected 0.9.10; "),
        "{}",
        unavailable.reason
    );
    assert_eq!(place.left(), [""; 0]);
}

#[tokio::test]
async fn elsewhere_it_is_absent_with_reason_and_remedy() {
    let place = Place::new();
    let catalog = catalog(&place);
    let environment = Environment::new([("PATH", "")], 1);
    let lines = catalog
        .doctor_in(&environment, &place.cache(), &CancellationToken::new())
        .await;
    let text = lines[0]
        .to_string()
        .replace(&place.folder.path().display().to_string(), "PLACE");
    insta::assert_snapshot!(text, @r"
    unavailable  tool           0.9.10 Debian package: there is no apt-get on PATH; cache: nothing in PLACE/cache; system: no libtool.so.1 there
                                remedy: install libtool from your distribution, or give apt-get a mirror it reaches, or set CONFORM_TOOL_LIB to a libtool.so.1, or a folder that holds it, of version 0.9.10
    ");
    let mut acquisition = catalog
        .acquire_in(
            &environment,
            &["tool"],
            &place.cache(),
            &Progress::silent(),
            &CancellationToken::new(),
        )
        .await;
    let unavailable = acquisition.swap_remove("tool").unwrap().unwrap_err();
    assert_eq!(Some(unavailable.remedy), lines[0].remedy);
}

#[tokio::test]
async fn the_doctor_says_that_nothing_is_installed() {
    let place = Place::new();
    fake_debian(&place, "0.9.10-2.1", true);
    let lines = catalog(&place)
        .doctor_in(&place.environment(&[]), &place.cache(), &CancellationToken::new())
        .await;
    assert_eq!(lines[0].state, DoctorState::Obtainable);
    assert_eq!(
        lines[0].says,
        "a run unpacks it from Debian's package libtool; nothing is installed"
    );
    assert_eq!(place.left(), [""; 0]);
}

/// With the real date.
#[tokio::test]
async fn what_is_no_library_shifts_no_real_clock() {
    let place = Place::new();
    fs::write(place.path("libtool.so.1"), "no library").unwrap();
    let given = place.path("libtool.so.1").display().to_string();
    let refused = place
        .acquire(
            &catalog(&place),
            &[("CONFORM_TOOL_LIB", &given)],
            &Notes::default(),
        )
        .await
        .unwrap_err();
    assert!(
        refused
            .reason
            .starts_with(&format!("{given} does not shift the clock of /")),
        "{}",
        refused.reason
    );
}
