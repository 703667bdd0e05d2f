//! Observed values against a target and its tolerance: one strip a row.
//!
//! Rows may have targets of their own, so each is drawn as the distance from
//! its target in tolerances: the band of what is allowed lies at the same place
//! in every row.

use crate::drawing::DistributionRow;

use super::super::plain::{count, number, quantity};
use super::canvas::{Anchor, Canvas, LEFT, RIGHT};
use super::{Sketch, Values};

const ROW: f64 = 66.0;
/// Height of the strip of a row; the rest holds its scale.
const STRIP: f64 = 40.0;
/// Most values of a row drawn one by one; beyond it they become columns.
const DOTS: usize = 400;
/// Tolerances that fit left and right of the target; values beyond stand at the rim.
const REACH: f64 = 3.0;
/// Width of a column, in picture units.
const COLUMN: f64 = 4.0;

pub(super) fn draw(title: &str, unit: &str, rows: &[DistributionRow]) -> Sketch {
    let outside: usize = rows.iter().map(outside).sum();
    let values: usize = rows.iter().map(|row| row.values.len()).sum();
    let summary = format!(
        "{} in {}; {}.",
        count(values, "value"),
        count(rows.len(), "row"),
        match (outside, values) {
            (_, 0) => "nothing was observed".to_owned(),
            (0, _) => "all within tolerance of the target".to_owned(),
            (n, _) => format!("{n} outside the tolerance"),
        }
    );
    let mut canvas = Canvas::new(rows.iter().map(|_| ROW).sum::<f64>().max(10.0));
    let mut y = 0.0;
    for row in rows {
        strip(&mut canvas, unit, row, y);
        y += ROW;
    }
    Sketch {
        title: title.to_owned(),
        svg: canvas.finish(&format!("{title}. {summary}")),
        summary,
        holds: outside == 0,
        table: Values {
            columns: vec![
                "Row",
                "Target",
                "Tolerance",
                "Values",
                "Least",
                "Median",
                "Most",
                "Outside",
            ],
            rows: rows
                .iter()
                .map(|row| {
                    let sorted = sorted(row);
                    let say =
                        |value: Option<f64>| value.map_or_else(|| "none".to_owned(), |v| quantity(v, unit));
                    vec![
                        row.label.clone(),
                        quantity(row.target, unit),
                        format!("± {}", quantity(row.tolerance, unit)),
                        row.values.len().to_string(),
                        say(sorted.first().copied()),
                        say(median(&sorted)),
                        say(sorted.last().copied()),
                        outside_count(row),
                    ]
                })
                .collect(),
        },
    }
}

fn strip(canvas: &mut Canvas, unit: &str, row: &DistributionRow, y: f64) {
    let middle = y + STRIP / 2.0 + 2.0;
    let scale = (RIGHT - LEFT) / (2.0 * REACH);
    let center = f64::midpoint(LEFT, RIGHT);
    // A row without tolerance is drawn on the scale of its own spread.
    let tolerance = if row.tolerance > 0.0 && row.tolerance.is_finite() {
        row.tolerance
    } else {
        row.values
            .iter()
            .map(|v| (v - row.target).abs())
            .filter(|d| d.is_finite())
            .fold(0.0, f64::max)
            .max(f64::MIN_POSITIVE)
    };
    let place = |value: f64| center + ((value - row.target) / tolerance).clamp(-REACH, REACH) * scale;
    canvas.label(middle - 3.0, "label", &row.label);
    canvas.text(
        (0.0, middle + 13.0),
        Anchor::Start,
        "tick",
        &format!(
            "target {} ± {}",
            quantity(row.target, unit),
            quantity(row.tolerance, unit)
        ),
    );
    if row.tolerance > 0.0 {
        canvas.rect(
            (center - scale, y + 4.0),
            (2.0 * scale, STRIP - 4.0),
            "window",
            "",
        );
    }
    canvas.line((LEFT, y + STRIP), (RIGHT, y + STRIP), "axis");
    canvas.line((center, y + 4.0), (center, y + STRIP), "target");
    for step in [-2.0, -1.0, 0.0, 1.0, 2.0] {
        let x = center + step * scale;
        canvas.line((x, y + STRIP), (x, y + STRIP + 4.0), "axis");
        let label = number(row.target + step * tolerance);
        canvas.text((x, y + STRIP + 16.0), Anchor::Middle, "tick", &label);
    }
    let (inside, beyond): (Vec<f64>, Vec<f64>) = row.values.iter().partition(|v| !is_outside(row, **v));
    if inside.len() > DOTS {
        columns(canvas, &inside, place, y + STRIP);
    } else {
        for (n, value) in (0u32..).zip(&inside) {
            canvas.dot(
                (place(*value), middle + spread(n) * (STRIP - 14.0)),
                2.6,
                "value",
                &quantity(*value, unit),
            );
        }
    }
    // As many crosses as can be told apart; the words give the count.
    for (n, value) in (0u32..).zip(beyond.iter().take(DOTS)) {
        canvas.cross(
            (place(*value), middle + spread(n) * (STRIP - 16.0)),
            3.6,
            "cross",
            &quantity(*value, unit),
        );
    }
    let sorted = sorted(row);
    let (x, words) = (RIGHT + 16.0, median(&sorted));
    let words = words.map_or_else(
        || "no values".to_owned(),
        |median| {
            format!(
                "{}, median {}",
                count(sorted.len(), "value"),
                quantity(median, unit)
            )
        },
    );
    canvas.text((x, middle - 3.0), Anchor::Start, "note", &words);
    let furthest = beyond
        .iter()
        .copied()
        .max_by(|a, b| (a - row.target).abs().total_cmp(&(b - row.target).abs()));
    match furthest {
        Some(value) => canvas.text(
            (x, middle + 13.0),
            Anchor::Start,
            "note wrong",
            &format!("{} outside, up to {}", beyond.len(), quantity(value, unit)),
        ),
        None if sorted.is_empty() => {}
        None => canvas.text((x, middle + 13.0), Anchor::Start, "note", "all within tolerance"),
    }
}

/// Columns of the counts, the highest as high as the strip.
fn columns(canvas: &mut Canvas, values: &[f64], place: impl Fn(f64) -> f64, bottom: f64) {
    let mut counts = std::collections::BTreeMap::<u32, u32>::new();
    for value in values {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positions lie between 0 and the picture's width"
        )]
        let column = ((place(*value) - LEFT) / COLUMN).max(0.0) as u32;
        *counts.entry(column).or_default() += 1;
    }
    let most = f64::from(counts.values().copied().max().unwrap_or(1));
    for (column, count) in counts {
        let height = f64::from(count) / most * (STRIP - 6.0);
        let x = LEFT + f64::from(column) * COLUMN;
        canvas.rect(
            (x, bottom - height),
            (COLUMN - 0.5, height),
            "column",
            &count.to_string(),
        );
    }
}

/// Heights between -0.5 and 0.5 that spread neighbours apart, the same in every run: multiples of
/// an irrational number modulo 1.
fn spread(n: u32) -> f64 {
    (f64::from(n) * std::f64::consts::SQRT_2).fract() - 0.5
}

fn is_outside(row: &DistributionRow, value: f64) -> bool {
    // The sum of a target and its tolerance is rounded; a value at the bound is inside.
    let slack = row.target.abs() * 1e-12;
    !value.is_finite() || (value - row.target).abs() > row.tolerance + slack
}

fn outside(row: &DistributionRow) -> usize {
    row.values.iter().filter(|v| is_outside(row, **v)).count()
}

fn outside_count(row: &DistributionRow) -> String {
    outside(row).to_string()
}

fn sorted(row: &DistributionRow) -> Vec<f64> {
    let mut values = row.values.clone();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> Option<f64> {
    let upper = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n.is_multiple_of(2) => Some(f64::midpoint(sorted[upper - 1], sorted[upper])),
        _ => Some(sorted[upper]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_at_the_bound_is_inside() {
        let row = DistributionRow {
            label: "gap".into(),
            target: 30.0,
            tolerance: 0.3,
            values: vec![30.3, 29.7, 30.31],
        };
        assert_eq!(outside(&row), 1);
    }

    #[test]
    fn many_values_become_columns() {
        let row = DistributionRow {
            label: "latency".into(),
            target: 10.0,
            tolerance: 5.0,
            values: (0..10_000).map(|n| 8.0 + f64::from(n % 100) / 25.0).collect(),
        };
        let sketch = draw("latency", "ms", &[row]);
        assert!(sketch.svg.len() < 40_000, "{}", sketch.svg.len());
        assert!(sketch.holds);
    }
}
