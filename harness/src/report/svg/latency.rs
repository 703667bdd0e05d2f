//! Latencies on a logarithmic scale: how many answers took how long, and for each percentile the
//! bracket it lies in and the budget that the bracket has to end before.

use crate::drawing::{LatencyMark, LatencyRow};

use super::super::plain::{count, quantity};
use super::canvas::{Anchor, Canvas, LEFT, RIGHT};
use super::{Sketch, Values};

/// Height of the columns of a row.
const COLUMNS: f64 = 60.0;
/// Height of a percentile's line.
const LINE: f64 = 24.0;
/// Height of a row's scale, with the space after it.
const SCALE: f64 = 40.0;
/// Columns side by side.
const BINS: u32 = 100;

pub(super) fn draw(title: &str, rows: &[LatencyRow]) -> Sketch {
    let beyond: Vec<String> = rows
        .iter()
        .flat_map(|row| row.marks.iter().map(move |mark| (row, mark)))
        .filter(|(_, mark)| !kept(mark))
        .map(|(row, mark)| format!("{} of {}", mark.label, row.label))
        .collect();
    let values: usize = rows.iter().map(|row| row.values.len()).sum();
    let summary = if values == 0 {
        "Nothing was measured.".to_owned()
    } else if beyond.is_empty() {
        format!(
            "{}; every percentile's upper bound is inside its budget.",
            count(values, "answer")
        )
    } else {
        format!(
            "{}; not shown to be inside its budget: {}.",
            count(values, "answer"),
            beyond.join(", ")
        )
    };
    let height = |row: &LatencyRow| {
        let lines = u32::try_from(row.marks.len()).unwrap_or(u32::MAX);
        COLUMNS + f64::from(lines) * LINE + SCALE
    };
    let mut canvas = Canvas::new(rows.iter().map(height).sum::<f64>().max(10.0));
    let mut y = 0.0;
    for row in rows {
        strip(&mut canvas, row, y);
        y += height(row);
    }
    Sketch {
        title: title.to_owned(),
        svg: canvas.finish(&format!("{title}. {summary}")),
        summary,
        holds: beyond.is_empty() && values > 0,
        table: Values {
            columns: vec![
                "Row",
                "Percentile",
                "At least",
                "At most",
                "Promised",
                "Budget here",
                "Answers",
            ],
            rows: rows
                .iter()
                .flat_map(|row| row.marks.iter().map(move |mark| cells(row, mark)))
                .collect(),
        },
    }
}

/// Whether the percentile is shown to be inside its budget.
fn kept(mark: &LatencyMark) -> bool {
    matches!((mark.upper, mark.budget), (Some(upper), Some(budget)) if upper <= budget)
}

fn cells(row: &LatencyRow, mark: &LatencyMark) -> Vec<String> {
    let say = |value: Option<f64>, none: &str| value.map_or_else(|| none.to_owned(), |v| quantity(v, "ms"));
    vec![
        row.label.clone(),
        mark.label.clone(),
        say(mark.lower, "unknown"),
        say(mark.upper, "unknown"),
        quantity(mark.promised, "ms"),
        say(mark.budget, "too slow to judge on"),
        row.values.len().to_string(),
    ]
}

/// The scale: decimal logarithms of milliseconds.
#[derive(Debug, Clone, Copy)]
struct Scale {
    from: f64,
    to: f64,
}

impl Scale {
    /// From a power of ten to a power of ten around everything that is drawn.
    fn of(row: &LatencyRow) -> Self {
        let marks = row.marks.iter().flat_map(|mark| {
            [mark.lower, mark.upper, Some(mark.promised), mark.budget]
                .into_iter()
                .flatten()
        });
        let (mut from, mut to) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in row.values.iter().copied().chain(marks) {
            // From 1 microsecond to 10,000 seconds; what is longer stands at the rim.
            let log = value.log10();
            if log.is_finite() {
                from = from.min(log.clamp(-3.0, 7.0));
                to = to.max(log.clamp(-3.0, 7.0));
            }
        }
        if from > to {
            (from, to) = (0.0, 1.0);
        }
        let (from, to) = (from.floor(), to.ceil());
        Self {
            from,
            to: if to > from { to } else { from + 1.0 },
        }
    }

    /// Share of the scale's length at which a value stands, from 0 to 1.
    fn share(self, value: f64) -> f64 {
        let share = (value.log10() - self.from) / (self.to - self.from);
        if share.is_nan() {
            0.0
        } else {
            share.clamp(0.0, 1.0)
        }
    }

    fn place(self, value: f64) -> f64 {
        LEFT + self.share(value) * (RIGHT - LEFT)
    }
}

fn strip(canvas: &mut Canvas, row: &LatencyRow, y: f64) {
    let scale = Scale::of(row);
    let base = y + COLUMNS;
    canvas.label(y + COLUMNS / 2.0, "label", &row.label);
    columns(canvas, row, scale, base);
    canvas.line((LEFT, base), (RIGHT, base), "axis");
    let mut line = base;
    for mark in &row.marks {
        bracket(canvas, mark, scale, line);
        line += LINE;
    }
    canvas.line((LEFT, line), (RIGHT, line), "axis");
    let mut power = scale.from;
    while power <= scale.to {
        let x = scale.place(10f64.powf(power));
        canvas.line((x, line), (x, line + 4.0), "axis");
        canvas.text(
            (x, line + 16.0),
            Anchor::Middle,
            "tick",
            &quantity(10f64.powf(power), "ms"),
        );
        power += 1.0;
    }
    canvas.text(
        (RIGHT + 16.0, y + COLUMNS / 2.0),
        Anchor::Start,
        "note",
        &count(row.values.len(), "answer"),
    );
}

/// The counts of equal steps of the scale, the highest as high as there is room.
fn columns(canvas: &mut Canvas, row: &LatencyRow, scale: Scale, base: f64) {
    let mut counts = std::collections::BTreeMap::<u32, u32>::new();
    for value in &row.values {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share from 0 to 1 of the number of columns"
        )]
        let bin = (scale.share(*value) * f64::from(BINS)) as u32;
        *counts.entry(bin.min(BINS - 1)).or_default() += 1;
    }
    let most = f64::from(counts.values().copied().max().unwrap_or(1));
    let width = (RIGHT - LEFT) / f64::from(BINS);
    for (bin, count) in counts {
        let height = f64::from(count) / most * (COLUMNS - 10.0);
        canvas.rect(
            (LEFT + f64::from(bin) * width, base - height),
            (width - 0.5, height),
            "column",
            &count.to_string(),
        );
    }
}

/// What is known of a percentile, and its budget as the upright line.
fn bracket(canvas: &mut Canvas, mark: &LatencyMark, scale: Scale, y: f64) {
    let middle = y + LINE / 2.0;
    canvas.text((LEFT - 12.0, middle + 4.0), Anchor::End, "tick", &mark.label);
    let from = scale.place(mark.lower.unwrap_or(0.0));
    let to = mark.upper.map_or(RIGHT, |upper| scale.place(upper));
    canvas.line((from, middle), (to, middle), "axis");
    for (end, x) in [(mark.lower, from), (mark.upper, to)] {
        if let Some(end) = end {
            canvas.dot((x, middle), 3.2, "value", &quantity(end, "ms"));
        }
    }
    let budget = mark.budget.unwrap_or(mark.promised);
    let x = scale.place(budget);
    canvas.line((x, y + 3.0), (x, y + LINE - 3.0), "target");
    let inside = kept(mark);
    if !inside {
        canvas.cross((to, middle), 4.0, "cross", "not shown to be inside the budget");
    }
    let words = match mark.budget {
        None => "the machine is too slow".to_owned(),
        Some(budget) => format!(
            "{} {}",
            if inside { "inside" } else { "not inside" },
            quantity(budget, "ms")
        ),
    };
    canvas.text(
        (RIGHT + 16.0, middle + 4.0),
        Anchor::Start,
        if inside { "note" } else { "note wrong" },
        &words,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(upper: Option<f64>, budget: Option<f64>) -> LatencyRow {
        LatencyRow {
            label: "instant queries".into(),
            values: (1..400u32).map(f64::from).collect(),
            marks: vec![LatencyMark {
                label: "p99".into(),
                quantile: 0.99,
                lower: Some(90.0),
                upper,
                promised: 250.0,
                budget,
            }],
        }
    }

    #[test]
    fn only_an_upper_bound_inside_the_budget_holds() {
        for (upper, budget, holds) in [
            (Some(200.0), Some(250.0), true),
            (Some(250.0), Some(250.0), true),
            (Some(300.0), Some(250.0), false),
            (None, Some(250.0), false),
            (Some(200.0), None, false),
        ] {
            let sketch = draw("t", &[row(upper, budget)]);
            assert_eq!(sketch.holds, holds, "{upper:?} {budget:?}");
            assert_eq!(sketch.summary.contains("not shown"), !holds, "{}", sketch.summary);
        }
        assert!(!draw("t", &[]).holds);
    }
}
