//! Drawings as SVG. Pure: a drawing's data in, markup out.
//!
//! Colours are CSS classes of the page, so that one picture serves light, dark
//! and print. Nothing is said by colour alone: what differs from the promise
//! has a shape and a word of its own, and every picture comes with a sentence
//! and a table of its values.

mod axis;
mod block_map;
mod buckets;
mod canvas;
mod convergence;
mod coverage;
mod distribution;
mod hops;
mod latency;
mod timeline;

use crate::drawing::Drawing;

/// A drawing, ready for the page.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sketch {
    /// Title, as the case gave it. Not escaped.
    pub(super) title: String,
    /// What the picture shows, in one sentence. Not escaped.
    pub(super) summary: String,
    /// Whether everything drawn is as promised.
    pub(super) holds: bool,
    /// The picture, a complete `svg` element; every text in it is escaped.
    pub(super) svg: String,
    /// The same as a table, for those who cannot see the picture.
    pub(super) table: Values,
}

/// A picture's values as a table. Not escaped.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Values {
    /// Column names.
    pub(super) columns: Vec<&'static str>,
    /// Rows, each as long as `columns`.
    pub(super) rows: Vec<Vec<String>>,
}

/// Draws.
pub(super) fn draw(drawing: &Drawing) -> Sketch {
    match drawing {
        Drawing::BlockMap { title, edge, blocks } => block_map::draw(title, *edge, blocks),
        Drawing::Timeline { title, lanes } => timeline::draw(title, lanes),
        Drawing::Coverage { title, cells } => coverage::draw(title, cells),
        Drawing::Distribution { title, unit, rows } => distribution::draw(title, unit, rows),
        Drawing::Latencies { title, rows } => latency::draw(title, rows),
        Drawing::Buckets {
            title,
            buckets,
            edge,
            seen,
        } => buckets::draw(title, *buckets, *edge, seen),
        Drawing::Convergence { title, unit, rows } => convergence::draw(title, unit, rows),
        Drawing::Hops { title, unit, hops } => hops::draw(title, unit, hops),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::drawing::{
        BlockMark, BucketMark, Cell, ConvergenceRow, ConvergenceSeen, ConvergenceStep, DistributionRow, Hop,
        Lane, LatencyMark, LatencyRow, Mark,
    };
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            8 => -1e4..1e10,
            1 => Just(0.0),
            1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300, 1e-300]),
        ]
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![Just("<b>&\"'".to_owned()), any::<String>()]
    }

    fn drawing() -> impl Strategy<Value = Drawing> {
        let block = (value(), value(), text(), any::<bool>(), any::<bool>()).prop_map(
            |(from, to, label, expected_kept, kept)| BlockMark {
                from,
                to,
                label,
                expected_kept,
                kept,
            },
        );
        let mark = (
            text(),
            value(),
            prop::option::of(value()),
            prop::option::of(value()),
            any::<bool>(),
        )
            .prop_map(|(label, at, earliest, latest, holds)| Mark {
                label,
                at,
                earliest,
                latest,
                holds,
            });
        let lane =
            (text(), prop::collection::vec(mark, 0..4)).prop_map(|(label, marks)| Lane { label, marks });
        let cell = (text(), 0..3u8, any::<bool>(), prop::option::of(text())).prop_map(
            |(label, group, covered, note)| Cell {
                label,
                group: group.to_string(),
                covered,
                note,
            },
        );
        let row = (text(), value(), value(), prop::collection::vec(value(), 0..5)).prop_map(
            |(label, target, tolerance, values)| DistributionRow {
                label,
                target,
                tolerance,
                values,
            },
        );
        let percentile = (
            text(),
            prop::option::of(value()),
            prop::option::of(value()),
            value(),
            prop::option::of(value()),
        )
            .prop_map(|(label, lower, upper, promised, budget)| LatencyMark {
                label,
                quantile: 0.99,
                lower,
                upper,
                promised,
                budget,
            });
        let latencies = (
            text(),
            prop::collection::vec(value(), 0..5),
            prop::collection::vec(percentile, 0..3),
        )
            .prop_map(|(label, values, marks)| LatencyRow { label, values, marks });
        let bucket = (0u32..40, 0u64..3, 0u64..3).prop_map(|(bucket, kept, dropped)| BucketMark {
            bucket,
            kept,
            dropped,
        });
        let step =
            (value(), value(), value()).prop_map(|(at, share, rate)| ConvergenceStep { at, share, rate });
        let seen = (value(), value()).prop_map(|(at, rate)| ConvergenceSeen { at, rate });
        let steered = (
            text(),
            value(),
            value(),
            value(),
            prop::option::of(value()),
            prop::collection::vec(step, 0..4),
            prop::collection::vec(seen, 0..4),
        )
            .prop_map(
                |(label, target, tolerance, within, settled, steps, seen)| ConvergenceRow {
                    label,
                    target,
                    tolerance,
                    within,
                    settled,
                    steps,
                    seen,
                },
            );
        let hop = (text(), any::<u64>(), any::<u64>()).prop_map(|(label, counted, expected)| Hop {
            label,
            counted,
            expected,
        });
        prop_oneof![
            (text(), text(), prop::collection::vec(hop, 0..4))
                .prop_map(|(title, unit, hops)| Drawing::Hops { title, unit, hops }),
            (text(), text(), prop::collection::vec(steered, 0..3))
                .prop_map(|(title, unit, rows)| Drawing::Convergence { title, unit, rows }),
            (text(), prop::collection::vec(latencies, 0..3))
                .prop_map(|(title, rows)| Drawing::Latencies { title, rows }),
            (
                text(),
                0u32..20_000,
                0u32..20_000,
                prop::collection::vec(bucket, 0..5)
            )
                .prop_map(|(title, buckets, edge, seen)| Drawing::Buckets {
                    title,
                    buckets,
                    edge,
                    seen
                }),
            (text(), value(), prop::collection::vec(block, 0..5))
                .prop_map(|(title, edge, blocks)| Drawing::BlockMap { title, edge, blocks }),
            (text(), prop::collection::vec(lane, 0..3))
                .prop_map(|(title, lanes)| Drawing::Timeline { title, lanes }),
            (text(), prop::collection::vec(cell, 0..5))
                .prop_map(|(title, cells)| Drawing::Coverage { title, cells }),
            (text(), text(), prop::collection::vec(row, 0..3))
                .prop_map(|(title, unit, rows)| Drawing::Distribution { title, unit, rows }),
        ]
    }

    proptest! {
        /// Whatever a case hands over, the picture is well-formed, holds no number that SVG does
        /// not know, and its table is rectangular.
        #[test]
        fn any_drawing_makes_a_well_formed_picture(drawing in drawing()) {
            let sketch = draw(&drawing);
            prop_assert_eq!(sample::unclosed(&sketch.svg), None, "{}", sketch.svg);
            for wrong in ["NaN", "=\"inf", "=\"-inf"] {
                prop_assert!(!sketch.svg.contains(wrong), "{}", sketch.svg);
            }
            prop_assert!(sketch.table.rows.iter().all(|row| row.len() == sketch.table.columns.len()));
        }
    }

    #[test]
    fn what_does_not_hold_is_said_in_words_too() {
        let sketches: Vec<_> = sample::failing()
            .cases
            .iter()
            .flat_map(|case| case.drawings.iter().map(draw))
            .filter(|sketch| !sketch.holds)
            .map(|sketch| format!("{}: {}", sketch.title, sketch.summary))
            .collect();
        insta::assert_snapshot!(sketches.join("\n"));
    }
}
