//! junit.xml, for build servers: one suite an area.
//!
//! `JUnit` knows four ends of a test. What accuses the stack, and what shows too
//! little, is a failure; what the machine or the set-up did is an error; a
//! missing need is a skip with its reason. The exact verdict is the type
//! attribute and a property.

use std::time::Duration;

use indexmap::IndexMap;
use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestSuite};

use crate::finding::Finding;
use crate::verdict::Verdict;

use super::plain::{clean, first_line};
use super::{CaseReport, Report, ReportError};

/// The report as `JUnit` XML.
pub(super) fn page(report: &Report) -> Result<String, ReportError> {
    let mut areas: IndexMap<&str, Vec<&CaseReport>> = IndexMap::new();
    for case in &report.cases {
        areas.entry(&case.area).or_default().push(case);
    }
    let mut page = quick_junit::Report::new(format!("conform {}", report.run.id));
    page.set_time(seconds(report.run.seconds));
    for (area, cases) in areas {
        let mut suite = TestSuite::new(area);
        suite.set_time(seconds(cases.iter().map(|case| case.seconds).sum()));
        suite.add_property(Property::new("seed", report.run.seed.to_string()));
        suite.add_property(Property::new("target", &report.run.target));
        suite.add_property(Property::new("started", &report.run.started));
        suite.add_test_cases(cases.into_iter().map(test_case));
        page.add_test_suite(suite);
    }
    page.to_string()
        .map_err(|why| ReportError::Draw(format!("junit.xml: {why}")))
}

fn test_case(case: &CaseReport) -> TestCase {
    let mut status = match case.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Skipped => TestCaseStatus::skipped(),
        Verdict::Environment => TestCaseStatus::non_success(NonSuccessKind::Error),
        Verdict::Insufficient | Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    if case.verdict != Verdict::Pass {
        let reason = case.reason.as_deref().unwrap_or("no reason was given");
        status
            .set_message(first_line(reason))
            .set_type(case.verdict.name())
            .set_description(account(case, reason));
    }
    let mut test = TestCase::new(&case.id, status);
    test.set_classname(&case.area).set_time(seconds(case.seconds));
    for (name, value) in [
        ("claim", case.claim.clone()),
        ("level", case.level.to_string()),
        ("verdict", case.verdict.to_string()),
        ("promises", case.promises.join(", ")),
        ("profiles", case.profiles.join(", ")),
        ("replay", case.replay.clone()),
    ] {
        if !value.is_empty() {
            test.add_property(Property::new(name, clean(&value)));
        }
    }
    for artifact in &case.artifacts {
        test.add_property(Property::new("artifact", clean(artifact)));
    }
    test
}

/// The reason, what was found against the stack, and how to see it again.
fn account(case: &CaseReport, reason: &str) -> String {
    let mut lines = vec![clean(reason).into_owned()];
    let open = case.findings.iter().filter(|f| f.verdict != Verdict::Pass);
    lines.extend(open.map(finding));
    if !case.replay.is_empty() {
        lines.push(format!("replay: {}", clean(&case.replay)));
    }
    lines.join("\n")
}

fn finding(finding: &Finding) -> String {
    let values: Vec<String> = [
        ("declared", &finding.declared),
        ("effective", &finding.effective),
        ("observed", &finding.observed),
        ("bound", &finding.bound),
        ("unit", &finding.unit),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} {}", clean(value))))
    .collect();
    let reason = finding.reason.as_deref().unwrap_or("no reason was given");
    let mut line = format!(
        "- {} ({}): {}",
        clean(&finding.what),
        finding.verdict,
        clean(reason)
    );
    if !values.is_empty() {
        line.push_str(" [");
        line.push_str(&values.join("; "));
        line.push(']');
    }
    line
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn verdicts_keep_their_difference_in_junit() {
        let mut report = sample::empty();
        report.cases = [
            Verdict::Pass,
            Verdict::Skipped,
            Verdict::Insufficient,
            Verdict::Environment,
            Verdict::Fail,
        ]
        .into_iter()
        .map(|verdict| CaseReport {
            verdict,
            reason: (verdict != Verdict::Pass)
                .then(|| "the cause <first> & \u{1b}[31mred\nthen the rest".into()),
            ..sample::case(&format!("metrics/{verdict}"))
        })
        .collect();
        report.cases.push(sample::case("alerts/firing"));
        insta::assert_snapshot!(page(&report).unwrap());
    }

    #[test]
    fn a_full_report_makes_one_suite_an_area() {
        let page = page(&sample::failing()).unwrap();
        let suites = page.matches("<testsuite ").count();
        let areas: std::collections::BTreeSet<_> =
            sample::failing().cases.into_iter().map(|c| c.area).collect();
        assert_eq!(suites, areas.len());
        assert!(!page.contains("<script>"));
    }

    #[test]
    fn a_duration_that_is_none_is_zero() {
        assert_eq!(seconds(f64::NAN), Duration::ZERO);
        assert_eq!(seconds(-1.0), Duration::ZERO);
    }
}
