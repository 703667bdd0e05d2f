//! What the three files of a report say about a bad day.

use std::fs;
use std::path::Path;

use harness::report::{CaseReport, Report};
use harness::verdict::{Exit, Verdict};

use super::ground::Ended;

/// report.json of a report's folder.
#[track_caller]
pub(super) fn read(folder: &Path) -> Report {
    let path = folder.join("report.json");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("report.json is a report")
}

/// The case of that id.
#[track_caller]
pub(super) fn case<'a>(report: &'a Report, id: &str) -> &'a CaseReport {
    let found = report.cases.iter().find(|case| case.id == id);
    found.unwrap_or_else(|| panic!("report.json lacks {id}"))
}

/// The run blames the machine everywhere it speaks, and its reason, which is returned, starts with
/// the cause: exit code, report.json, junit.xml, index.html and the table.
#[track_caller]
pub(super) fn assert_environment(ended: &Ended, folder: &Path, id: &str, cause: &str) -> String {
    assert_eq!(ended.code, i32::from(Exit::Environment.code()), "{ended}");
    let report = read(folder);
    assert_eq!(report.run.exit_code, Exit::Environment.code());
    let one = case(&report, id);
    assert_eq!(one.verdict, Verdict::Environment, "{one:#?}");
    let reason = one.reason.clone().unwrap_or_default();
    assert!(
        reason.starts_with(cause),
        "the cause `{cause}` does not come first: {reason}"
    );
    assert!(ended.stdout.contains("environment"), "{ended}");
    let junit = fs::read_to_string(folder.join("junit.xml")).expect("junit.xml is written");
    let html = fs::read_to_string(folder.join("index.html")).expect("index.html is written");
    for (file, text) in [("junit.xml", &junit), ("index.html", &html)] {
        let unescaped = unescape(text);
        assert!(unescaped.contains(cause), "{file} does not say `{cause}`");
        assert!(
            unescaped.contains("environment"),
            "{file} does not say `environment`"
        );
    }
    assert!(junit.contains("<error") && !junit.contains("<failure"), "{junit}");
    reason
}

/// XML and HTML text as it reads.
fn unescape(text: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&#x2f;", "/"),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (escaped, plain)| {
        text.replace(escaped, plain)
    })
}
