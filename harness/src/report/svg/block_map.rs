//! Blocks around a retention edge: one bar a block, on a time axis counted from the edge.

use std::fmt::Write as _;

use crate::drawing::BlockMark;

use super::super::plain::count;
use super::axis::{Axis, signed_time, time};
use super::canvas::{Anchor, Canvas, LEFT, RIGHT};
use super::{Sketch, Values};

/// Most blocks drawn; beyond it, those that differ and those nearest the edge.
const MOST: usize = 40;
const ROW: f64 = 24.0;
const TOP: f64 = 44.0;

pub(super) fn draw(title: &str, edge: f64, blocks: &[BlockMark]) -> Sketch {
    let wrong = blocks.iter().filter(|b| b.kept != b.expected_kept).count();
    let kept = blocks.iter().filter(|b| b.kept).count();
    let shown = select(edge, blocks);
    let mut summary = format!(
        "{}: {kept} kept, {} deleted; {}.",
        count(blocks.len(), "block"),
        blocks.len() - kept,
        match wrong {
            0 => "all as promised".to_owned(),
            1 => "1 is not as promised".to_owned(),
            n => format!("{n} are not as promised"),
        }
    );
    if shown.len() < blocks.len() {
        let _ = write!(
            summary,
            " Drawn are {} of them: those that differ and those nearest the edge.",
            shown.len()
        );
    }
    let (axis, compressed) = axis(edge, &shown);
    if compressed {
        summary.push_str(" Time is compressed away from the edge.");
    }
    let rows: f64 = shown.iter().map(|_| ROW).sum();
    let bottom = TOP + rows + 6.0;
    let mut canvas = Canvas::new(bottom + 26.0);
    axis.draw(&mut canvas, TOP - 6.0, bottom);
    let at = axis.place(0.0);
    canvas.rect((LEFT, TOP - 6.0), (at - LEFT, rows + 12.0), "beyond", "");
    canvas.text((at, 12.0), Anchor::Middle, "strong", "edge");
    canvas.text((at, 28.0), Anchor::Middle, "tick", &instant(edge));
    if at - LEFT > 150.0 {
        canvas.text((at - 78.0, 28.0), Anchor::End, "tick", "← older, goes");
    }
    if RIGHT - at > 150.0 {
        canvas.text((at + 78.0, 28.0), Anchor::Start, "tick", "newer, stays →");
    }
    for (row, block) in (0u32..).zip(&shown) {
        let y = TOP + f64::from(row) * ROW;
        bar(&mut canvas, &axis, edge, block, y);
    }
    canvas.line((at, 34.0), (at, bottom), "edge");
    Sketch {
        title: title.to_owned(),
        svg: canvas.finish(&format!("{title}. {summary}")),
        summary,
        holds: wrong == 0,
        table: Values {
            columns: vec!["Block", "From the edge", "To", "Expected", "Observed"],
            rows: blocks
                .iter()
                .map(|block| {
                    vec![
                        block.label.clone(),
                        signed_time(block.from - edge),
                        signed_time(block.to - edge),
                        word(block.expected_kept).to_owned(),
                        word(block.kept).to_owned(),
                    ]
                })
                .collect(),
        },
    }
}

fn bar(canvas: &mut Canvas, axis: &Axis, edge: f64, block: &BlockMark, y: f64) {
    let good = block.kept == block.expected_kept;
    let (from, to) = (axis.place(block.from - edge), axis.place(block.to - edge));
    let width = (to - from).max(4.0);
    let class = match (good, block.kept) {
        (true, true) => "block kept",
        (true, false) => "block gone",
        (false, true) => "block kept wrong",
        (false, false) => "block gone wrong",
    };
    let hint = format!(
        "{}: {} to {} from the edge, {} long",
        block.label,
        signed_time(block.from - edge),
        signed_time(block.to - edge),
        time(block.to - block.from)
    );
    canvas.label(y + 15.0, "label", &block.label);
    canvas.rect((from.min(RIGHT - 4.0), y + 4.0), (width, 14.0), class, &hint);
    let x = RIGHT + 20.0;
    if good {
        canvas.check((x, y + 11.0), 4.5, "check");
        canvas.text((x + 14.0, y + 15.0), Anchor::Start, "note", word(block.kept));
    } else {
        canvas.cross((x, y + 11.0), 4.5, "cross", "");
        let words = if block.kept {
            "kept, should be deleted"
        } else {
            "deleted, should be kept"
        };
        canvas.text((x + 14.0, y + 15.0), Anchor::Start, "note wrong", words);
    }
}

fn word(kept: bool) -> &'static str {
    if kept { "kept" } else { "deleted" }
}

/// The blocks to draw, in time order.
fn select(edge: f64, blocks: &[BlockMark]) -> Vec<&BlockMark> {
    let mut shown: Vec<&BlockMark> = blocks.iter().collect();
    if shown.len() > MOST {
        shown.sort_by(|a, b| {
            let rank = |block: &BlockMark| {
                (
                    block.kept == block.expected_kept,
                    (f64::midpoint(block.from, block.to) - edge).abs(),
                )
            };
            let (a, b) = (rank(a), rank(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        shown.truncate(MOST);
    }
    shown.sort_by(|a, b| a.from.total_cmp(&b.from));
    shown
}

/// An even axis where every block is wide enough to be seen on it, a compressed one (true) otherwise.
fn axis(edge: f64, blocks: &[&BlockMark]) -> (Axis, bool) {
    let low = blocks.iter().map(|b| b.from - edge).fold(0.0, f64::min);
    let high = blocks.iter().map(|b| b.to - edge).fold(0.0, f64::max);
    let shortest = blocks
        .iter()
        .map(|b| b.to - b.from)
        .filter(|d| *d > 0.0)
        .fold(f64::INFINITY, f64::min);
    let margin = (high - low) * 0.03;
    if shortest / (high - low) * (RIGHT - LEFT) >= 6.0 || !shortest.is_finite() {
        let mut axis = Axis::of_times(low - margin, high + margin);
        for (at, label) in &mut axis.ticks {
            *label = signed_time(*at);
        }
        (axis, false)
    } else {
        let axis = Axis::around_zero(low * 1.2 - shortest, high * 1.2 + shortest, shortest);
        (axis, true)
    }
}

fn instant(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float beyond the range saturates, and the timestamp then refuses it"
    )]
    jiff::Timestamp::from_second(seconds as i64).map_or_else(
        |_| "at no known time".to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    )
}
