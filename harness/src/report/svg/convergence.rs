//! Rates that are steered towards a target: one strip a row, time from left to
//! right, the rate upwards on a logarithmic scale with the band it has to come into.

use crate::drawing::{ConvergenceRow, ConvergenceStep};

use super::super::plain::{count, number, quantity};
use super::axis::{Axis, time};
use super::canvas::{Anchor, Canvas, LEFT, RIGHT};
use super::{Sketch, Values};

/// Height of a row's strip.
const STRIP: f64 = 96.0;
/// Height of a row, with the space to the next.
const ROW: f64 = STRIP + 20.0;
/// Most rates of a row drawn one by one: the last ones, which are judged.
const DOTS: usize = 400;

pub(super) fn draw(title: &str, unit: &str, rows: &[ConvergenceRow]) -> Sketch {
    let open: Vec<&str> = rows
        .iter()
        .filter(|row| !holds(row))
        .map(|row| row.label.as_str())
        .collect();
    let summary = match (rows.len(), open.len()) {
        (0, _) => "Nothing was observed.".to_owned(),
        (all, 0) => format!(
            "{}, every one at its target in time, to stay.",
            count(all, "rate")
        ),
        (all, _) => format!(
            "{}; not at its target in time, to stay: {}.",
            count(all, "rate"),
            open.join(", ")
        ),
    };
    let ends = || {
        rows.iter().flat_map(|row| {
            let steps = row.steps.iter().map(|step| step.at);
            let seen = row.seen.iter().map(|seen| seen.at);
            steps.chain(seen).chain([row.within])
        })
    };
    let high = ends().filter(|at| at.is_finite()).fold(1.0, f64::max);
    let axis = Axis::of_times(0.0, high * 1.04);
    let bottom = rows.iter().map(|_| ROW).sum::<f64>() + 4.0;
    let mut canvas = Canvas::new(bottom + 26.0);
    axis.draw(&mut canvas, 8.0, bottom);
    let mut y = 8.0;
    for row in rows {
        strip(&mut canvas, &axis, unit, row, y);
        y += ROW;
    }
    Sketch {
        title: title.to_owned(),
        svg: canvas.finish(&format!("{title}. {summary}")),
        holds: open.is_empty() && !rows.is_empty(),
        summary,
        table: Values {
            columns: vec!["Row", "From", "Share", "Rate", "Target", "Tolerance", "Result"],
            rows: rows
                .iter()
                .flat_map(|row| row.steps.iter().map(|step| cells(unit, row, step)))
                .collect(),
        },
    }
}

/// Whether the rate was at its target in time, to stay.
fn holds(row: &ConvergenceRow) -> bool {
    row.settled.is_some_and(|at| at <= row.within)
}

fn inside(row: &ConvergenceRow, rate: f64) -> bool {
    // The sum of a target and its tolerance is rounded; a rate at the bound is inside.
    let slack = row.target.abs() * 1e-12;
    (rate - row.target).abs() <= row.tolerance + slack
}

fn cells(unit: &str, row: &ConvergenceRow, step: &ConvergenceStep) -> Vec<String> {
    vec![
        row.label.clone(),
        time(step.at),
        number(step.share),
        quantity(step.rate, unit),
        quantity(row.target, unit),
        quantity(row.tolerance, unit),
        if inside(row, step.rate) {
            "at the target"
        } else {
            "not at the target"
        }
        .to_owned(),
    ]
}

/// The upward scale of a row: decimal logarithms of rates.
#[derive(Debug, Clone, Copy)]
struct Scale {
    from: f64,
    to: f64,
    top: f64,
}

impl Scale {
    /// A little more than everything that is drawn; rates of nothing stand at the lower rim.
    fn of(row: &ConvergenceRow, top: f64) -> Self {
        let rates = row.steps.iter().map(|step| step.rate);
        let seen = row.seen.iter().map(|seen| seen.rate);
        let band = [row.target - row.tolerance, row.target, row.target + row.tolerance];
        let (mut from, mut to) = (f64::INFINITY, f64::NEG_INFINITY);
        for rate in rates.chain(seen).chain(band) {
            let log = rate.log10();
            if log.is_finite() {
                from = from.min(log.clamp(-9.0, 12.0));
                to = to.max(log.clamp(-9.0, 12.0));
            }
        }
        if from > to {
            (from, to) = (0.0, 0.0);
        }
        Self {
            from: from - 0.1,
            to: to + 0.1,
            top,
        }
    }

    fn place(self, rate: f64) -> f64 {
        let share = (rate.log10() - self.from) / (self.to - self.from);
        let share = if share.is_nan() {
            0.0
        } else {
            share.clamp(0.0, 1.0)
        };
        self.top + (1.0 - share) * STRIP
    }
}

fn strip(canvas: &mut Canvas, axis: &Axis, unit: &str, row: &ConvergenceRow, top: f64) {
    let scale = Scale::of(row, top);
    let bottom = top + STRIP;
    canvas.label(top + 18.0, "label", &row.label);
    canvas.text(
        (0.0, top + 36.0),
        Anchor::Start,
        "tick",
        &format!(
            "target {} ± {}",
            quantity(row.target, unit),
            quantity(row.tolerance, unit)
        ),
    );
    let (upper, lower) = (
        scale.place(row.target + row.tolerance),
        scale.place(row.target - row.tolerance),
    );
    canvas.rect(
        (LEFT, upper),
        (RIGHT - LEFT, lower - upper),
        "window",
        "at the target",
    );
    let target = scale.place(row.target);
    canvas.line((LEFT, target), (RIGHT, target), "target");
    canvas.line((LEFT, bottom), (RIGHT, bottom), "axis");
    let within = axis.place(row.within);
    canvas.line((within, top), (within, bottom), "bound");
    for power in powers(scale) {
        let rate = 10f64.powf(power);
        canvas.line((LEFT - 4.0, scale.place(rate)), (LEFT, scale.place(rate)), "axis");
        canvas.text(
            (LEFT - 8.0, scale.place(rate) + 4.0),
            Anchor::End,
            "tick",
            &number(rate),
        );
    }
    steps(canvas, axis, scale, unit, row);
    for seen in row.seen.iter().skip(row.seen.len().saturating_sub(DOTS)) {
        let at = (axis.place(seen.at), scale.place(seen.rate));
        let hint = format!("{} seen until {}", quantity(seen.rate, unit), time(seen.at));
        canvas.dot(at, 2.4, "value", &hint);
    }
    words(canvas, unit, row, top);
}

/// The powers of ten that a scale holds, some of them where there are many.
fn powers(scale: Scale) -> impl Iterator<Item = f64> {
    let step = ((scale.to - scale.from) / 3.0).ceil().max(1.0);
    let mut power = scale.from.ceil();
    std::iter::from_fn(move || {
        let this = power;
        power += step;
        (this <= scale.to).then_some(this)
    })
}

/// What was set, as a line of steps; steps outside of the band once there was time enough are crossed.
fn steps(canvas: &mut Canvas, axis: &Axis, scale: Scale, unit: &str, row: &ConvergenceRow) {
    let mut before: Option<f64> = None;
    for (number_of, step) in row.steps.iter().enumerate() {
        let next = row.steps.get(number_of + 1);
        let (x, y) = (axis.place(step.at), scale.place(step.rate));
        let end = next.map_or(RIGHT, |next| axis.place(next.at));
        if let Some(before) = before {
            canvas.line((x, before), (x, y), "edge");
        }
        canvas.line((x, y), (end, y), "edge");
        let hint = format!(
            "share {} from {}: {}",
            number(step.share),
            time(step.at),
            quantity(step.rate, unit)
        );
        let outlasts = next.is_none_or(|next| next.at > row.within);
        if outlasts && !inside(row, step.rate) {
            canvas.cross((axis.place(row.within.max(step.at)), y), 5.0, "cross", &hint);
        } else {
            canvas.dot((x, y), 4.0, "mark", &hint);
        }
        before = Some(y);
    }
}

fn words(canvas: &mut Canvas, unit: &str, row: &ConvergenceRow, top: f64) {
    let x = RIGHT + 16.0;
    let ends = match (row.steps.first(), row.steps.last()) {
        (Some(first), Some(last)) => {
            format!("{} to {}", quantity(first.rate, unit), quantity(last.rate, unit))
        }
        _ => "nothing was set".to_owned(),
    };
    canvas.text((x, top + 18.0), Anchor::Start, "note", &ends);
    let (class, settled) = match row.settled {
        Some(at) if at <= row.within => ("note", format!("there after {}", time(at))),
        Some(at) => ("note wrong", format!("there after {} only", time(at))),
        None => ("note wrong", "not at its target".to_owned()),
    };
    canvas.text((x, top + 36.0), Anchor::Start, class, &settled);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::ConvergenceSeen;

    fn row(label: &str, rates: &[(f64, f64)], settled: Option<f64>) -> ConvergenceRow {
        ConvergenceRow {
            label: label.into(),
            target: 1.0,
            tolerance: 0.3,
            within: 60.0,
            settled,
            steps: rates
                .iter()
                .map(|(at, rate)| ConvergenceStep {
                    at: *at,
                    share: rate / 1000.0,
                    rate: *rate,
                })
                .collect(),
            seen: rates
                .iter()
                .map(|(at, rate)| ConvergenceSeen {
                    at: at + 5.0,
                    rate: *rate,
                })
                .collect(),
        }
    }

    #[test]
    fn a_rate_that_came_to_its_target_holds() {
        let sketch = draw(
            "Samples",
            "samples/s",
            &[row("busy", &[(0.0, 10.0), (31.0, 1.1)], Some(31.0))],
        );
        assert!(sketch.holds);
        assert!(!sketch.svg.contains("\"cross\""), "{}", sketch.svg);
        insta::assert_snapshot!(format!(
            "{}\n{:#?}\n{}",
            sketch.summary,
            sketch.table.rows,
            sketch.svg.replace("><", ">\n<")
        ));
    }

    #[test]
    fn a_rate_that_stays_away_is_crossed_and_named() {
        let rows = [
            row("busy", &[(0.0, 10.0), (31.0, 1.1)], Some(31.0)),
            row("stuck", &[(0.0, 10.0)], None),
            row("late", &[(0.0, 10.0), (61.0, 1.0)], Some(61.0)),
        ];
        let sketch = draw("Samples", "samples/s", &rows);
        assert!(!sketch.holds);
        assert_eq!(sketch.svg.matches("class=\"cross\"").count(), 2, "{}", sketch.svg);
        insta::assert_snapshot!(sketch.summary);
    }

    #[test]
    fn nothing_observed_does_not_hold() {
        assert!(!draw("Samples", "samples/s", &[]).holds);
    }
}
