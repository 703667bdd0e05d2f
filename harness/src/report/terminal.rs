//! The tables on the terminal. Pure but for asking how wide it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use indexmap::IndexMap;

use crate::verdict::{Exit, Verdict};

use super::plain::{clean, count, first_line};
use super::summary::{attention, headline, tally, tally_text};
use super::{CaseReport, MutantOutcome, MutationReport, ProfileOutcome, Report};

/// How a table is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStyle {
    /// Whether to colour it (ANSI escape codes).
    pub colour: bool,
    /// Columns it may take; texts wrap there.
    pub width: usize,
    /// Where the report was written, to say so.
    pub folder: Option<PathBuf>,
}

impl TableStyle {
    /// A style for standard output: as wide as the terminal within 100 to 120 columns, 110 where it
    /// is none.
    #[must_use]
    pub fn of_terminal(colour: bool) -> Self {
        let width = rustix::termios::tcgetwinsize(std::io::stdout())
            .ok()
            .map(|size| usize::from(size.ws_col))
            .filter(|width| *width > 0)
            .unwrap_or(110);
        Self {
            colour,
            width: width.clamp(100, 120),
            folder: None,
        }
    }

    /// The same, naming the folder the report was written to.
    #[must_use]
    pub fn in_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    fn paint(&self, ink: Ink, text: &str) -> String {
        if self.colour && !text.trim().is_empty() {
            format!("\u{1b}[{}m{text}\u{1b}[0m", ink.code())
        } else {
            text.to_owned()
        }
    }
}

/// Inks by meaning; every coloured word also says what the colour says.
#[derive(Debug, Clone, Copy)]
enum Ink {
    Good,
    Bad,
    Unknown,
    Quiet,
    Strong,
}

impl Ink {
    /// Select Graphic Rendition parameters (ECMA-48, 8.3.117).
    fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Bad => "1;31",
            Self::Unknown => "33",
            Self::Quiet => "2",
            Self::Strong => "1",
        }
    }

    fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Good,
            Verdict::Fail => Self::Bad,
            Verdict::Environment | Verdict::Insufficient => Self::Unknown,
            Verdict::Skipped => Self::Quiet,
        }
    }
}

/// Width of the longest verdict.
const VERDICT: usize = 12;

/// The table of a run.
pub(super) fn run_table(report: &Report, style: &TableStyle) -> String {
    let mut out = String::new();
    let mut areas: IndexMap<&str, Vec<&CaseReport>> = IndexMap::new();
    for case in &report.cases {
        areas.entry(&case.area).or_default().push(case);
    }
    let id_width = report
        .cases
        .iter()
        .map(|case| case.id.chars().count())
        .max()
        .unwrap_or(0)
        .clamp(4, 40);
    for (area, cases) in &areas {
        let _ = writeln!(
            out,
            "{}  {}",
            style.paint(Ink::Strong, area),
            style.paint(Ink::Quiet, &tally_text(&tally(cases.iter().copied())))
        );
        for case in cases {
            let head = format!(
                "  {}  {:<id_width$}  {}  {:>7}",
                style.paint(Ink::of(case.verdict), &format!("{:<VERDICT$}", case.verdict)),
                case.id,
                style.paint(Ink::Quiet, &format!("{:<6}", case.level)),
                short_seconds(case.seconds),
            );
            let indent = 2 + VERDICT + 2 + id_width.max(case.id.chars().count()) + 2 + 6 + 2 + 7 + 2;
            let reason = case.reason.as_deref().map(first_line).unwrap_or_default();
            beside(&mut out, &head, indent, &reason, style.width);
        }
        out.push('\n');
    }
    summary(&mut out, report, style);
    out
}

fn summary(out: &mut String, report: &Report, style: &TableStyle) {
    let headline = headline(&report.cases);
    let ink = match headline.exit {
        Exit::Success => Ink::Good,
        Exit::Failed | Exit::Usage => Ink::Bad,
        Exit::Partial | Exit::Environment => Ink::Unknown,
    };
    let word = match headline.exit {
        Exit::Success => "success",
        Exit::Failed => "failed",
        Exit::Partial => "partial",
        Exit::Environment => "environment",
        Exit::Usage => "usage",
    };
    let head = format!("  {}", style.paint(ink, &format!("{word:<VERDICT$}")));
    beside(out, &head, 4 + VERDICT, &headline.sentence, style.width);
    beside(
        out,
        &" ".repeat(2 + VERDICT),
        4 + VERDICT,
        &headline.detail,
        style.width,
    );
    out.push('\n');
    let mut fact = |name: &str, value: &str| {
        let head = format!("  {}", style.paint(Ink::Quiet, &format!("{name:<VERDICT$}")));
        beside(out, &head, 4 + VERDICT, value, style.width);
    };
    fact(
        "cases",
        &format!(
            "{} in {}, servers up in {}, {} in all",
            count(report.cases.len(), "case"),
            count(
                report
                    .cases
                    .iter()
                    .map(|c| &c.area)
                    .collect::<std::collections::BTreeSet<_>>()
                    .len(),
                "area"
            ),
            short_seconds(report.run.up_seconds),
            short_seconds(report.run.seconds)
        ),
    );
    for remark in &report.run.remarks {
        fact("remark", remark);
    }
    for profile in &report.profiles {
        let word = match profile.result {
            ProfileOutcome::Success => "success",
            ProfileOutcome::Partial => "partial",
            ProfileOutcome::Failed => "failed",
        };
        let reason = profile
            .reason
            .as_deref()
            .map(|reason| format!(", {}", clean(reason)))
            .unwrap_or_default();
        fact("profile", &format!("{}: {word}{reason}", profile.name));
        for stand_in in &profile.stand_ins {
            fact("stand-in", &clean(stand_in));
        }
    }
    fact(
        "run",
        &format!(
            "{}, seed {}, target {}",
            report.run.id, report.run.seed, report.run.target
        ),
    );
    if let Some(folder) = &style.folder {
        fact("report", &folder.join("index.html").display().to_string());
    }
    let failures: Vec<&CaseReport> = attention(&report.cases)
        .into_iter()
        .filter(|case| case.verdict == Verdict::Fail)
        .collect();
    // A command is copied whole, so it is never wrapped.
    for case in failures.iter().take(REPLAYS) {
        let _ = writeln!(
            out,
            "  {}  {}",
            style.paint(Ink::Quiet, &format!("{:<VERDICT$}", "replay")),
            clean(&case.replay)
        );
    }
    if failures.len() > REPLAYS {
        let _ = writeln!(
            out,
            "  {:<VERDICT$}  and {} more failures; the report has their commands",
            "",
            failures.len() - REPLAYS
        );
    }
}

/// Most replay commands shown below the table.
const REPLAYS: usize = 8;

/// The table of a mutation run.
pub(super) fn mutation_table(report: &MutationReport, style: &TableStyle) -> String {
    let mut out = String::new();
    let mut by_case: IndexMap<&str, Vec<_>> = IndexMap::new();
    for mutant in &report.mutants {
        by_case.entry(&mutant.case).or_default().push(mutant);
    }
    let id_width = report
        .mutants
        .iter()
        .map(|mutant| mutant.id.chars().count())
        .max()
        .unwrap_or(0)
        .clamp(4, 40);
    for (case, mutants) in &by_case {
        let _ = writeln!(out, "{}", style.paint(Ink::Strong, case));
        for mutant in mutants {
            let (word, ink) = outcome(mutant.outcome);
            let head = format!(
                "  {}  {:<id_width$}  {:>7}",
                style.paint(ink, &format!("{word:<VERDICT$}")),
                mutant.id,
                short_seconds(mutant.seconds),
            );
            let indent = 2 + VERDICT + 2 + id_width.max(mutant.id.chars().count()) + 2 + 7 + 2;
            beside(&mut out, &head, indent, &first_line(&mutant.change), style.width);
            // How a kill was noticed is in mutation.json; a mutant that lives needs a reader now.
            let by = mutant.by.as_deref().filter(|by| by != case);
            let reason = mutant.reason.as_deref().map(first_line);
            let account = match (mutant.outcome, by, reason) {
                (MutantOutcome::Killed, Some(by), _) => Some(format!("by {by}")),
                (MutantOutcome::Survived | MutantOutcome::Equivalent, _, Some(reason)) => Some(reason),
                _ => None,
            };
            if let Some(account) = account {
                beside(&mut out, &" ".repeat(indent - 2), indent, &account, style.width);
            }
        }
        out.push('\n');
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for mutant in &report.mutants {
        *counts.entry(outcome(mutant.outcome).0).or_default() += 1;
    }
    let survived = counts.get("survived").copied().unwrap_or(0);
    let equivalent = counts.get("equivalent").copied().unwrap_or(0);
    let judged = report.mutants.len() - equivalent;
    let (ink, word) = match (judged, survived) {
        (0, _) => (Ink::Unknown, "nothing"),
        (_, 0) => (Ink::Good, "success"),
        _ => (Ink::Bad, "survived"),
    };
    let sentence = match (judged, survived) {
        (0, _) => "no mutant was judged, so nothing was shown about the cases".to_owned(),
        (1, 0) => "the one mutant was killed".to_owned(),
        (n, 0) => format!("all {n} mutants were killed"),
        (n, s) => format!(
            "{} survived of {n}; their cases are not finished",
            count(s, "mutant")
        ),
    };
    let sentence = if equivalent > 0 {
        format!("{sentence}; {equivalent} more change nothing that can be observed")
    } else {
        sentence
    };
    let head = format!("  {}", style.paint(ink, &format!("{word:<VERDICT$}")));
    beside(&mut out, &head, 4 + VERDICT, &sentence, style.width);
    let mut fact = |name: &str, value: &str| {
        let head = format!("  {}", style.paint(Ink::Quiet, &format!("{name:<VERDICT$}")));
        beside(&mut out, &head, 4 + VERDICT, value, style.width);
    };
    fact("seed", &report.seed.to_string());
    if let Some(folder) = &style.folder {
        fact("report", &folder.join("mutation.json").display().to_string());
    }
    out
}

fn outcome(outcome: MutantOutcome) -> (&'static str, Ink) {
    match outcome {
        MutantOutcome::Killed => ("killed", Ink::Good),
        MutantOutcome::Survived => ("survived", Ink::Bad),
        MutantOutcome::Equivalent => ("equivalent", Ink::Quiet),
    }
}

/// Writes `head`, then `text` beside it from column `indent` on, wrapped at `width`. Where too
/// little room is left, the text stands below with a small indent.
fn beside(out: &mut String, head: &str, indent: usize, text: &str, width: usize) {
    if text.is_empty() {
        let _ = writeln!(out, "{}", head.trim_end());
        return;
    }
    let room = width.saturating_sub(indent);
    if room >= 30 {
        let mut lines = wrap(text, room).into_iter();
        let _ = writeln!(out, "{head}  {}", lines.next().unwrap_or_default());
        for line in lines {
            let _ = writeln!(out, "{:indent$}{line}", "");
        }
    } else {
        let small = 4 + VERDICT;
        let _ = writeln!(out, "{}", head.trim_end());
        for line in wrap(text, width.saturating_sub(small).max(30)) {
            let _ = writeln!(out, "{:small$}{line}", "");
        }
    }
}

/// Breaks a text into lines of at most `width` characters, between words where it can.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + word.len() > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        while word.len() > width {
            let rest = word.split_off(width);
            lines.push(word.into_iter().collect());
            word = rest;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        used += word.len();
        line.extend(word);
    }
    if used > 0 || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// Seconds for a column: `0.24 s`, `12.3 s`, `754 s`.
fn short_seconds(seconds: f64) -> String {
    if seconds < 10.0 {
        format!("{seconds:.2} s")
    } else if seconds < 100.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{seconds:.0} s")
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use proptest::prelude::*;

    fn plain(width: usize) -> TableStyle {
        TableStyle {
            colour: false,
            width,
            folder: Some("reports/2025-11-24".into()),
        }
    }

    #[test]
    fn a_passing_run_is_short() {
        insta::assert_snapshot!(run_table(&sample::passing(), &plain(110)));
    }

    #[test]
    fn a_failing_run_names_causes_and_replays() {
        insta::assert_snapshot!(run_table(&sample::failing(), &plain(110)));
    }

    #[test]
    fn a_run_of_nothing_says_so() {
        insta::assert_snapshot!(run_table(&sample::empty(), &plain(110)));
    }

    #[test]
    fn mutants_are_grouped_by_case() {
        insta::assert_snapshot!(mutation_table(&sample::mutation(), &plain(110)));
    }

    #[test]
    fn colours_come_only_when_asked() {
        let mut style = plain(110);
        assert!(!run_table(&sample::failing(), &style).contains('\u{1b}'));
        assert!(!mutation_table(&sample::mutation(), &style).contains('\u{1b}'));
        style.colour = true;
        let coloured = run_table(&sample::failing(), &style);
        assert!(coloured.contains("\u{1b}[1;31mfail"));
        let stripped = clean(&coloured).into_owned();
        style.colour = false;
        assert_eq!(stripped, run_table(&sample::failing(), &style));
    }

    #[test]
    fn lines_stay_within_the_width_but_for_commands_to_copy() {
        for width in [100, 110, 120] {
            for line in run_table(&sample::failing(), &plain(width)).lines() {
                assert!(
                    line.chars().count() <= width || line.contains("replay"),
                    "{width}: {line}"
                );
            }
        }
    }

    proptest! {
        /// Wrapping loses no character but blanks, and every line fits.
        #[test]
        fn wrapping_keeps_the_text(text in "[a-z ]{0,200}", width in 1usize..40) {
            let lines = wrap(&text, width);
            prop_assert!(lines.iter().all(|line| line.chars().count() <= width));
            let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(squeeze(&lines.concat()), squeeze(&text));
        }
    }
}
