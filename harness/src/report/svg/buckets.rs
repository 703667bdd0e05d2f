//! Hash buckets of a sampler: a grid in the order of the buckets, kept ones
//! filled, and every bucket that is on the wrong side crossed.
//!
//! There are thousands of buckets, so neighbours share a square; one that
//! holds the edge or differs from its neighbours is drawn for itself below.

use std::fmt::Write as _;

use crate::drawing::BucketMark;

use super::super::plain::count;
use super::canvas::{Anchor, Canvas, LEFT, RIGHT};
use super::{Sketch, Values};

/// Squares in a line, and lines at most.
const ACROSS: u32 = 64;
const LINES: u32 = 16;
const PITCH: f64 = (RIGHT - LEFT) / 64.0;
/// Buckets drawn for themselves on each side of the edge.
const NEAR: u32 = 16;
/// Most buckets on the wrong side that the table names.
const NAMED: usize = 100;
const TOP: f64 = 24.0;

/// What is known of a bucket or several.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    kept: u64,
    dropped: u64,
    wrong: u64,
}

impl Share {
    fn add(&mut self, mark: &BucketMark, edge: u32) {
        self.kept += mark.kept;
        self.dropped += mark.dropped;
        self.wrong += wrong(mark, edge);
    }

    fn class(self) -> &'static str {
        match (self.kept > 0, self.dropped > 0) {
            (true, false) => "block kept",
            (true, true) => "block part",
            (false, true) => "block gone",
            (false, false) => "block none",
        }
    }

    fn words(self) -> String {
        format!("{} kept, {} dropped", self.kept, self.dropped)
    }
}

/// Traces of a bucket that are on the wrong side.
fn wrong(mark: &BucketMark, edge: u32) -> u64 {
    if mark.bucket < edge {
        mark.dropped
    } else {
        mark.kept
    }
}

pub(super) fn draw(title: &str, buckets: u32, edge: u32, seen: &[BucketMark]) -> Sketch {
    let buckets = buckets.max(1);
    let mut all = Share::default();
    for mark in seen {
        all.add(mark, edge);
    }
    let traces = usize::try_from(all.kept + all.dropped).unwrap_or(usize::MAX);
    let summary = format!(
        "{} in {} of {}: {}; predicted are those below bucket {edge}; {}.",
        count(traces, "trace"),
        seen.len(),
        count(usize::try_from(buckets).unwrap_or(usize::MAX), "bucket"),
        all.words(),
        match all.wrong {
            0 => "all as predicted".to_owned(),
            1 => "1 is on the wrong side".to_owned(),
            n => format!("{n} are on the wrong side"),
        }
    );
    let each = buckets.div_ceil(ACROSS * LINES);
    let lines = buckets.div_ceil(each * ACROSS);
    let below = TOP + f64::from(lines) * PITCH + 40.0;
    let mut canvas = Canvas::new(below + 40.0);
    let heading = if each == 1 {
        "one bucket a square".to_owned()
    } else {
        format!("{each} buckets a square")
    };
    canvas.label(TOP + 10.0, "label", "all buckets");
    canvas.text((LEFT, 14.0), Anchor::Start, "tick", &heading);
    let mut squares = vec![Share::default(); (lines * ACROSS) as usize];
    for mark in seen {
        if let Some(square) = squares.get_mut((mark.bucket / each) as usize) {
            square.add(mark, edge);
        }
    }
    for (number, share) in (0u32..).zip(&squares) {
        let first = number * each;
        if first >= buckets {
            break;
        }
        let last = (first + each - 1).min(buckets - 1);
        let hint = if each == 1 {
            format!("bucket {first}: {}", share.words())
        } else {
            format!("buckets {first} to {last}: {}", share.words())
        };
        let x = LEFT + f64::from(number % ACROSS) * PITCH;
        let y = TOP + f64::from(number / ACROSS) * PITCH;
        square(&mut canvas, (x, y), *share, &hint);
    }
    let words = RIGHT + 16.0;
    canvas.text((words, TOP + 10.0), Anchor::Start, "note", &all.words());
    if all.wrong > 0 {
        let text = format!("{} on the wrong side", all.wrong);
        canvas.text((words, TOP + 28.0), Anchor::Start, "note wrong", &text);
    }
    edge_row(&mut canvas, below, (buckets, edge), seen);
    Sketch {
        title: title.to_owned(),
        svg: canvas.finish(&format!("{title}. {summary}")),
        summary,
        holds: all.wrong == 0,
        table: table(edge, seen),
    }
}

/// The buckets around the edge, one a square.
fn edge_row(canvas: &mut Canvas, y: f64, (buckets, edge): (u32, u32), seen: &[BucketMark]) {
    let side = PITCH * 2.0;
    let first = edge.saturating_sub(NEAR);
    let last = edge.saturating_add(NEAR).min(buckets);
    canvas.label(y + 12.0, "label", "around the edge");
    for bucket in first..last {
        let mut share = Share::default();
        for mark in seen.iter().filter(|mark| mark.bucket == bucket) {
            share.add(mark, edge);
        }
        let at = (LEFT + f64::from(bucket - first) * side, y);
        let (x, y) = at;
        let hint = format!("bucket {bucket}: {}", share.words());
        canvas.rect((x, y), (side - 2.0, side - 2.0), share.class(), &hint);
        if share.wrong > 0 {
            canvas.cross((x + side / 2.0 - 1.0, y + side / 2.0 - 1.0), 4.0, "cross", &hint);
        }
    }
    let at = LEFT + f64::from(edge.min(buckets).saturating_sub(first)) * side - 1.0;
    canvas.line((at, y - 6.0), (at, y + side + 4.0), "edge");
    let words = format!("kept below bucket {edge}");
    canvas.text((at, y - 10.0), Anchor::Middle, "strong", &words);
}

fn square(canvas: &mut Canvas, (x, y): (f64, f64), share: Share, hint: &str) {
    canvas.rect((x, y), (PITCH - 1.0, PITCH - 1.0), share.class(), hint);
    if share.wrong > 0 {
        canvas.cross((x + PITCH / 2.0, y + PITCH / 2.0), 3.0, "cross", hint);
    }
}

/// The buckets in runs of equal fate, and those on the wrong side by themselves.
fn table(edge: u32, seen: &[BucketMark]) -> Values {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut named = 0;
    let mut run: Option<(u32, u32, Share)> = None;
    let mut wrong_ones = Vec::new();
    let row = |(first, last, share): (u32, u32, Share)| {
        let mut buckets = first.to_string();
        if last > first {
            let _ = write!(buckets, " to {last}");
        }
        let predicted = if first < edge { "kept" } else { "dropped" };
        vec![
            buckets,
            predicted.to_owned(),
            share.kept.to_string(),
            share.dropped.to_string(),
        ]
    };
    for mark in seen {
        let mut share = Share::default();
        share.add(mark, edge);
        if share.wrong > 0 {
            named += 1;
            if named <= NAMED {
                wrong_ones.push(row((mark.bucket, mark.bucket, share)));
            }
        }
        run = match run {
            Some((first, _, mut total)) if (first < edge) == (mark.bucket < edge) => {
                total.add(mark, edge);
                Some((first, mark.bucket, total))
            }
            other => {
                rows.extend(other.map(row));
                Some((mark.bucket, mark.bucket, share))
            }
        };
    }
    rows.extend(run.map(row));
    rows.extend(wrong_ones);
    Values {
        columns: vec!["Buckets", "Predicted", "Traces kept", "Traces dropped"],
        rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(edge: u32, wrong: &[u32]) -> Vec<BucketMark> {
        (0..16_384)
            .map(|bucket| {
                let kept = (bucket < edge) != wrong.contains(&bucket);
                BucketMark {
                    bucket,
                    kept: kept.into(),
                    dropped: (!kept).into(),
                }
            })
            .collect()
    }

    #[test]
    fn every_bucket_on_its_side_holds() {
        let sketch = draw("1 % of all traces", 16_384, 163, &marks(163, &[]));
        assert!(sketch.holds);
        assert_eq!(sketch.table.rows.len(), 2);
        insta::assert_snapshot!(sketch.summary);
    }

    #[test]
    fn buckets_on_the_wrong_side_are_crossed_and_named() {
        let sketch = draw("1 % of all traces", 16_384, 163, &marks(163, &[162, 163, 9_000]));
        assert!(!sketch.holds);
        insta::assert_snapshot!(format!(
            "{}\n{:#?}\n{}",
            sketch.summary,
            sketch.table.rows,
            sketch
                .svg
                .replace("><", ">\n<")
                .lines()
                .filter(|line| !line.contains("block gone"))
                .collect::<Vec<_>>()
                .join("\n")
        ));
    }

    #[test]
    fn few_buckets_have_a_square_each() {
        let seen = [BucketMark {
            bucket: 3,
            kept: 2,
            dropped: 1,
        }];
        let sketch = draw("few", 8, 4, &seen);
        assert!(!sketch.holds);
        assert!(
            sketch.svg.contains("bucket 3: 2 kept, 1 dropped"),
            "{}",
            sketch.svg
        );
    }
}
