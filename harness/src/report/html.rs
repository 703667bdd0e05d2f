//! index.html: one file that needs nothing else and no network.
//!
//! What the page says is decided here, as a value ([`Page`]); the template only
//! places it. Every text is escaped by the template engine; only the style, the
//! script and the pictures, which escape their own texts, go in as they are.

use std::fmt::Write as _;
use std::time::Duration;

use indexmap::IndexMap;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use crate::finding::{Figure, Finding};
use crate::units::format_duration;
use crate::verdict::{Exit, Level, Verdict};

use super::plain::{clean, count, first_line, number, quantity, size};
use super::summary::{attention, headline, tally};
use super::svg::{Sketch, draw};
use super::{CaseReport, ProfileOutcome, Report, ReportError};

const TEMPLATE: &str = include_str!("index.html.j2");
const STYLE: &str = include_str!("index.css");
const SCRIPT: &str = include_str!("index.js");

/// Findings that passed shown at once in a case; the others are folded away.
const PASSES_SHOWN: usize = 10;
/// Findings that did not pass shown at once in a case.
const OPEN_SHOWN: usize = 50;
/// Findings shown with a failure at the top; its section has them all.
const CAUSES_SHOWN: usize = 5;
/// Up to this many cases, the sections of those that passed are unfolded too.
const UNFOLDED: usize = 40;
/// Table rows of a picture's values at most; report.json has them all.
const VALUES_SHOWN: usize = 500;

/// The report as a page.
pub(super) fn page(report: &Report) -> Result<String, ReportError> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    let wrong = |why: minijinja::Error| ReportError::Draw(format!("index.html: {why:#}"));
    environment.add_template("index.html", TEMPLATE).map_err(wrong)?;
    let page = Page::of(report);
    environment
        .get_template("index.html")
        .and_then(|template| {
            template.render(minijinja::context! {
                page => Value::from(Serde(&page)),
                style => Value::from_safe_string(STYLE.to_owned()),
                script => Value::from_safe_string(SCRIPT.to_owned()),
            })
        })
        .map_err(wrong)
}

/// Everything the page says, in the order it says it.
#[derive(Debug, Serialize)]
struct Page {
    tone: &'static str,
    result: &'static str,
    sentence: String,
    detail: String,
    counts: Vec<Count>,
    total: usize,
    facts: Vec<Fact>,
    versions: Vec<Fact>,
    calibration: Vec<Fact>,
    profiles: Vec<Profile>,
    attention: Vec<Attention>,
    unlooked: Vec<Unlooked>,
    promises: Vec<PromiseRow>,
    uncovered: Vec<PromiseRow>,
    areas: Vec<Area>,
    figures: Vec<FigureRow>,
    changed: Vec<Changed>,
    components: Vec<Component>,
}

/// How many cases came to a verdict.
#[derive(Debug, Serialize)]
struct Count {
    verdict: &'static str,
    count: usize,
}

#[derive(Debug, Serialize)]
struct Fact {
    name: String,
    value: String,
}

#[derive(Debug, Serialize)]
struct Profile {
    name: String,
    verdict: &'static str,
    result: &'static str,
    reason: String,
    counts: String,
    stand_ins: Vec<String>,
}

/// A case that failed, could not be judged or had too little data.
#[derive(Debug, Serialize)]
struct Attention {
    id: String,
    level: &'static str,
    verdict: &'static str,
    claim: String,
    cause: String,
    rest: String,
    findings: Option<Findings>,
    more: usize,
    replay: String,
}

/// A case that was skipped.
#[derive(Debug, Serialize)]
struct Unlooked {
    id: String,
    level: &'static str,
    reason: String,
}

#[derive(Debug, Serialize)]
struct PromiseRow {
    id: String,
    says: String,
    level: &'static str,
    verdict: Option<&'static str>,
    cases: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Area {
    name: String,
    counts: String,
    cases: Vec<Section>,
}

/// The section of a case.
#[derive(Debug, Serialize)]
struct Section {
    id: String,
    level: &'static str,
    verdict: &'static str,
    claim: String,
    cause: String,
    rest: String,
    seconds: String,
    unfolded: bool,
    promises: Vec<String>,
    profiles: String,
    tally: String,
    findings: Vec<Findings>,
    drawings: Vec<Figurative>,
    artifacts: Vec<Artifact>,
    replay: String,
}

/// A table of findings; columns nobody fills are left out.
#[derive(Debug, Serialize)]
struct Findings {
    /// Text to unfold it by, empty when it is open.
    fold: String,
    columns: Vec<&'static str>,
    rows: Vec<FindingRow>,
}

#[derive(Debug, Serialize)]
struct FindingRow {
    what: String,
    unit: String,
    reason: String,
    verdict: &'static str,
    values: Vec<String>,
}

/// A drawing with its sentence and table.
#[derive(Debug, Serialize)]
struct Figurative {
    title: String,
    summary: String,
    holds: bool,
    svg: Value,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    more: usize,
}

#[derive(Debug, Serialize)]
struct Artifact {
    path: String,
    href: String,
}

#[derive(Debug, Serialize)]
struct FigureRow {
    what: String,
    value: String,
    bound: String,
    holds: bool,
    /// Width of the bar and place of the bound, in percent of the track.
    bar: f64,
    mark: f64,
    words: String,
}

#[derive(Debug, Serialize)]
struct Changed {
    object: String,
    field: String,
    from: String,
    to: String,
    why: String,
}

#[derive(Debug, Serialize)]
struct Component {
    name: String,
    version: String,
    origin: String,
    capabilities: Vec<&'static str>,
    missing: Vec<Fact>,
    stand_ins: Vec<Fact>,
}

impl Page {
    fn of(report: &Report) -> Self {
        let headline = headline(&report.cases);
        let (tone, result) = match headline.exit {
            Exit::Success => ("pass", "Success"),
            Exit::Failed | Exit::Usage => ("fail", "Failed"),
            Exit::Partial => ("insufficient", "Partial"),
            Exit::Environment => ("environment", "Environment"),
        };
        let open = attention(&report.cases);
        let (unlooked, attention): (Vec<_>, Vec<_>) = open
            .into_iter()
            .partition(|case| case.verdict == Verdict::Skipped);
        let (uncovered, promises) = report
            .promises
            .iter()
            .map(|promise| PromiseRow {
                id: text(&promise.id),
                says: text(&promise.says),
                level: promise.level.name(),
                verdict: promise.verdict.map(Verdict::name),
                cases: promise.cases.iter().map(|id| text(id)).collect(),
            })
            .partition(|promise: &PromiseRow| promise.cases.is_empty());
        Self {
            tone,
            result,
            sentence: headline.sentence,
            detail: headline.detail,
            counts: tally(report.cases.iter())
                .into_iter()
                .rev()
                .map(|(verdict, count)| Count {
                    verdict: verdict.name(),
                    count,
                })
                .collect(),
            total: report.cases.len(),
            facts: facts(report),
            versions: report
                .run
                .versions
                .iter()
                .map(|(name, version)| fact(name, version))
                .collect(),
            calibration: report
                .run
                .calibration
                .iter()
                .map(|(name, value)| fact(&name.replace('_', " "), &number(*value)))
                .collect(),
            profiles: report
                .profiles
                .iter()
                .map(|profile| profile_row(profile, report))
                .collect(),
            attention: attention.into_iter().map(Attention::of).collect(),
            unlooked: unlooked
                .into_iter()
                .map(|case| Unlooked {
                    id: text(&case.id),
                    level: case.level.name(),
                    reason: reason(case),
                })
                .collect(),
            promises,
            uncovered,
            areas: areas(report),
            figures: report.figures.iter().map(FigureRow::of).collect(),
            changed: report
                .changed_values
                .iter()
                .map(|value| Changed {
                    object: text(&value.object),
                    field: text(&value.field),
                    from: text(&value.from),
                    to: text(&value.to),
                    why: text(&value.why),
                })
                .collect(),
            components: report
                .components
                .iter()
                .map(|component| Component {
                    name: text(&component.name),
                    version: text(&component.version),
                    origin: text(&component.origin),
                    capabilities: component.capabilities.iter().map(|c| c.name()).collect(),
                    missing: component
                        .missing
                        .iter()
                        .map(|missing| fact(missing.capability.name(), &missing.reason))
                        .collect(),
                    stand_ins: component
                        .stand_ins
                        .iter()
                        .map(|stand_in| fact(stand_in.capability.name(), &stand_in.says))
                        .collect(),
                })
                .collect(),
        }
    }
}

fn text(text: &str) -> String {
    clean(text).into_owned()
}

fn fact(name: &str, value: &str) -> Fact {
    Fact {
        name: text(name),
        value: text(value),
    }
}

fn seconds(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds).map_or_else(|_| "no time".to_owned(), format_duration)
}

fn facts(report: &Report) -> Vec<Fact> {
    let run = &report.run;
    let started = run.started.parse::<jiff::Timestamp>().map_or_else(
        |_| run.started.clone(),
        |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    );
    [
        ("Target", run.target.clone()),
        ("Seed", run.seed.to_string()),
        ("Started", started),
        ("Duration", seconds(run.seconds)),
        ("Servers up in", seconds(run.up_seconds)),
        (
            "Machine",
            format!(
                "{}, {} memory",
                count(run.machine.cores, "core"),
                size(run.machine.memory_bytes)
            ),
        ),
        ("System", run.machine.system.clone()),
        ("Kernel", run.machine.kernel.clone()),
        ("Harness memory, most", size(run.memory_bytes)),
        ("Exit code", run.exit_code.to_string()),
        ("Run", run.id.clone()),
    ]
    .into_iter()
    .chain(run.remarks.iter().map(|remark| ("Remark", remark.clone())))
    .map(|(name, value)| fact(name, &value))
    .collect()
}

fn profile_row(profile: &super::ProfileResult, report: &Report) -> Profile {
    let (verdict, result) = match profile.result {
        ProfileOutcome::Success => ("pass", "success"),
        ProfileOutcome::Partial => ("insufficient", "partial"),
        ProfileOutcome::Failed => ("fail", "failed"),
    };
    let members = report
        .cases
        .iter()
        .filter(|case| case.profiles.contains(&profile.name));
    let musts = members.clone().filter(|case| case.level == Level::Must);
    Profile {
        name: text(&profile.name),
        verdict,
        result,
        reason: profile.reason.as_deref().map(text).unwrap_or_default(),
        stand_ins: profile.stand_ins.iter().map(|says| text(says)).collect(),
        counts: format!(
            "{} of {} passed, {} in all",
            musts.clone().filter(|case| case.verdict == Verdict::Pass).count(),
            count(musts.count(), "MUST case"),
            count(members.count(), "case"),
        ),
    }
}

/// The reason without its first line, for the small print.
fn rest(case: &CaseReport) -> String {
    let reason = case.reason.as_deref().map(text).unwrap_or_default();
    let mut lines = reason.trim_start().lines();
    lines.next();
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// The whole reason in one text.
fn reason(case: &CaseReport) -> String {
    case.reason
        .as_deref()
        .map_or_else(|| "no reason was given".to_owned(), |reason| text(reason.trim()))
}

fn cause(case: &CaseReport) -> String {
    match case.reason.as_deref().map(first_line) {
        Some(line) if !line.is_empty() => line,
        _ if case.verdict == Verdict::Pass => String::new(),
        _ => "no reason was given".to_owned(),
    }
}

impl Attention {
    fn of(case: &CaseReport) -> Self {
        let open: Vec<&Finding> = case
            .findings
            .iter()
            .filter(|f| f.verdict != Verdict::Pass)
            .collect();
        Self {
            id: text(&case.id),
            level: case.level.name(),
            verdict: case.verdict.name(),
            claim: text(&case.claim),
            cause: cause(case),
            rest: rest(case),
            findings: (!open.is_empty())
                .then(|| Findings::of(&open[..open.len().min(CAUSES_SHOWN)], String::new())),
            more: open.len().saturating_sub(CAUSES_SHOWN),
            replay: text(&case.replay),
        }
    }
}

fn areas(report: &Report) -> Vec<Area> {
    let mut areas: IndexMap<&str, Vec<&CaseReport>> = IndexMap::new();
    for case in &report.cases {
        areas.entry(&case.area).or_default().push(case);
    }
    let few = report.cases.len() <= UNFOLDED;
    areas
        .into_iter()
        .map(|(name, cases)| Area {
            name: text(name),
            counts: super::summary::tally_text(&tally(cases.iter().copied())),
            cases: cases.into_iter().map(|case| Section::of(case, few)).collect(),
        })
        .collect()
}

impl Section {
    fn of(case: &CaseReport, few: bool) -> Self {
        let (passes, open): (Vec<&Finding>, Vec<&Finding>) =
            case.findings.iter().partition(|f| f.verdict == Verdict::Pass);
        let mut findings = Vec::new();
        // Few findings keep the order they were made in; many are sorted by what needs reading.
        if case.findings.len() <= PASSES_SHOWN {
            findings.push(Findings::of(
                &case.findings.iter().collect::<Vec<_>>(),
                String::new(),
            ));
        } else {
            let (open_head, open_tail) = open.split_at(open.len().min(OPEN_SHOWN));
            let (pass_head, pass_tail) = passes.split_at(passes.len().min(PASSES_SHOWN));
            findings.push(Findings::of(&[open_head, pass_head].concat(), String::new()));
            for (tail, what) in [(open_tail, "did not pass"), (pass_tail, "passed")] {
                findings.push(Findings::of(tail, format!("{} more that {what}", tail.len())));
            }
        }
        findings.retain(|table| !table.rows.is_empty());
        let tally = match (case.findings.len(), open.len()) {
            (0, _) => "no finding".to_owned(),
            (all, 0) => format!("{}, all passed", count(all, "finding")),
            (all, open) => format!("{}, {open} did not pass", count(all, "finding")),
        };
        Self {
            id: text(&case.id),
            level: case.level.name(),
            verdict: case.verdict.name(),
            claim: text(&case.claim),
            cause: cause(case),
            rest: rest(case),
            seconds: seconds(case.seconds),
            unfolded: few || case.verdict != Verdict::Pass,
            promises: case.promises.iter().map(|id| text(id)).collect(),
            profiles: text(&case.profiles.join(", ")),
            tally,
            findings,
            drawings: case
                .drawings
                .iter()
                .map(|drawing| Figurative::of(draw(drawing)))
                .collect(),
            artifacts: case.artifacts.iter().map(|path| Artifact::of(path)).collect(),
            replay: text(&case.replay),
        }
    }
}

impl Findings {
    fn of(findings: &[&Finding], fold: String) -> Self {
        type Read = fn(&Finding) -> &Option<String>;
        let all: [(&'static str, Read); 4] = [
            ("Declared", |f| &f.declared),
            ("Effective", |f| &f.effective),
            ("Observed", |f| &f.observed),
            ("Bound", |f| &f.bound),
        ];
        let used: Vec<_> = all
            .into_iter()
            .filter(|(_, read)| findings.iter().any(|f| read(f).is_some()))
            .collect();
        Self {
            fold,
            columns: used.iter().map(|(name, _)| *name).collect(),
            rows: findings
                .iter()
                .map(|finding| FindingRow {
                    what: text(&finding.what),
                    unit: finding.unit.as_deref().map(text).unwrap_or_default(),
                    reason: finding.reason.as_deref().map(text).unwrap_or_default(),
                    verdict: finding.verdict.name(),
                    values: used
                        .iter()
                        .map(|(_, read)| read(finding).as_deref().map(text).unwrap_or_default())
                        .collect(),
                })
                .collect(),
        }
    }
}

impl Figurative {
    fn of(sketch: Sketch) -> Self {
        let more = sketch.table.rows.len().saturating_sub(VALUES_SHOWN);
        Self {
            title: text(&sketch.title),
            summary: text(&sketch.summary),
            holds: sketch.holds,
            svg: Value::from_safe_string(sketch.svg),
            columns: sketch.table.columns,
            rows: sketch
                .table
                .rows
                .into_iter()
                .take(VALUES_SHOWN)
                .map(|row| row.iter().map(|cell| text(cell)).collect())
                .collect(),
            more,
        }
    }
}

impl Artifact {
    fn of(path: &str) -> Self {
        // A leading ./ and encoded colons keep a path from being read as another scheme.
        let mut href = "./".to_owned();
        for byte in path.trim_start_matches('/').bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
                href.push(char::from(byte));
            } else {
                let _ = write!(href, "%{byte:02X}");
            }
        }
        Self {
            path: text(path),
            href,
        }
    }
}

impl FigureRow {
    fn of(figure: &Figure) -> Self {
        let holds = figure.holds();
        let most = figure.value.max(figure.bound).max(f64::MIN_POSITIVE) * 1.08;
        let percent = |value: f64| {
            let share = (value / most * 1000.0).round() / 10.0;
            if share.is_finite() {
                share.clamp(0.0, 100.0)
            } else {
                0.0
            }
        };
        let share = number(figure.value / figure.bound * 100.0);
        Self {
            what: text(&figure.what),
            value: text(&quantity(figure.value, &figure.unit)),
            bound: text(&format!(
                "{} {}",
                if figure.at_least { "at least" } else { "at most" },
                quantity(figure.bound, &figure.unit)
            )),
            holds,
            bar: percent(figure.value),
            mark: percent(figure.bound),
            words: if figure.bound == 0.0 || !figure.bound.is_finite() {
                String::new()
            } else if share == "100" && figure.value < figure.bound {
                // Rounding must not hide on which side of the bound the value lies.
                text(&format!(
                    "{} below the bound",
                    quantity(figure.bound - figure.value, &figure.unit)
                ))
            } else if share == "100" && figure.value > figure.bound {
                text(&format!(
                    "{} above the bound",
                    quantity(figure.value - figure.bound, &figure.unit)
                ))
            } else {
                format!("{share}% of the bound")
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::passing("passing", sample::passing())]
    #[case::failing("failing", sample::failing())]
    #[case::empty("empty", sample::empty())]
    fn every_page_is_well_formed_and_needs_nothing_else(#[case] name: &str, #[case] report: Report) {
        let own = tempfile::tempdir().unwrap();
        let root = std::env::var_os("REPORT_SAMPLES").map_or_else(|| own.path().to_owned(), Into::into);
        let folder = root.join(name);
        report.write(&folder).unwrap();
        let page = std::fs::read_to_string(folder.join("index.html")).unwrap();
        assert_eq!(sample::unclosed(&page), None);
        for request in [
            "<link",
            "<img",
            "<iframe",
            "@import",
            "url(",
            "src=",
            "fetch(",
            "http-equiv=\"refresh",
        ] {
            assert!(!page.contains(request), "the page asks for something: {request}");
        }
        assert!(page.starts_with("<!doctype html>"));
        assert!(!page.contains("undefined") && !page.contains("NaN"));
    }

    #[test]
    fn texts_from_outside_stay_texts() {
        let page = page(&sample::failing()).unwrap();
        assert!(!page.contains("<script>alert"), "a script from a reason is run");
        assert!(page.contains("&lt;script&gt;alert"));
        assert!(!page.contains("<i>"), "markup from a finding is followed");
        assert!(!page.contains('\u{1b}'));
    }

    #[test]
    fn the_first_line_of_the_page_is_the_cause() {
        let page = page(&sample::failing()).unwrap();
        let title = page
            .split("<title>")
            .nth(1)
            .unwrap()
            .split("</title>")
            .next()
            .unwrap();
        assert!(
            title.contains("the server runs with 45d where the deploy tree declares 30d"),
            "{title}"
        );
    }

    #[test]
    fn every_case_can_be_linked_to() {
        let report = sample::failing();
        let page = page(&report).unwrap();
        for case in &report.cases {
            let id = case.id.replace('/', "&#x2f;");
            assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{}", case.id);
            assert!(page.contains(&format!("href=\"#{id}\"")), "{}", case.id);
        }
    }

    #[test]
    fn what_did_not_pass_comes_before_what_did() {
        let page = Page::of(&sample::failing());
        let firing = page
            .areas
            .iter()
            .flat_map(|area| &area.cases)
            .find(|case| case.id == "alerts/firing-latency")
            .unwrap();
        let sizes: Vec<_> = firing
            .findings
            .iter()
            .map(|table| (table.rows[0].verdict, table.rows.len(), table.fold.as_str()))
            .collect();
        assert_eq!(sizes, [("fail", 15, ""), ("pass", 285, "285 more that passed")]);
    }

    #[test]
    fn promises_without_a_case_are_listed_as_such() {
        let page = Page::of(&sample::passing());
        let ids: Vec<_> = page.uncovered.iter().map(|p| p.id.as_str()).collect();
        assert_eq!(ids, ["traces-sampling", "logs-lifecycle", "backup-elasticsearch"]);
        assert!(page.promises.iter().all(|p| p.verdict.is_some()));
    }

    #[rstest]
    #[case("artifacts/a b.txt", "./artifacts/a%20b.txt")]
    #[case("javascript:alert(1)", "./javascript%3Aalert%281%29")]
    #[case("//host/x", "./host/x")]
    fn artifact_links_stay_in_the_folder(#[case] path: &str, #[case] href: &str) {
        assert_eq!(Artifact::of(path).href, href);
    }

    #[rstest]
    #[case(50.0, "50% of the bound")]
    #[case(100.0, "100% of the bound")]
    #[case(99.999, "0.001 s below the bound")]
    #[case(100.004, "0.004 s above the bound")]
    fn rounding_does_not_hide_the_side_of_the_bound(#[case] value: f64, #[case] words: &str) {
        let row = FigureRow::of(&Figure {
            what: "w".into(),
            value,
            bound: 100.0,
            at_least: false,
            unit: "s".into(),
        });
        assert_eq!(row.words, words);
    }

    #[rstest]
    #[case::budget_kept(50.0, 100.0, false, true)]
    #[case::budget_broken(150.0, 100.0, false, false)]
    #[case::least_reached(150.0, 100.0, true, true)]
    #[case::nothing_allowed(0.0, 0.0, false, true)]
    #[case::not_a_number(f64::NAN, 100.0, false, false)]
    fn bars_stay_on_their_track(
        #[case] value: f64,
        #[case] bound: f64,
        #[case] at_least: bool,
        #[case] holds: bool,
    ) {
        let row = FigureRow::of(&Figure {
            what: "w".into(),
            value,
            bound,
            at_least,
            unit: "s".into(),
        });
        assert_eq!(row.holds, holds);
        assert!((0.0..=100.0).contains(&row.bar) && (0.0..=100.0).contains(&row.mark));
    }
}
