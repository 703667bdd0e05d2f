//! Instants on lanes, each beside the window it had to fall into: one row a mark.

use std::fmt::Write as _;

use crate::drawing::{Lane, Mark};

use super::super::plain::count;
use super::axis::{Axis, time};
use super::canvas::{Anchor, Canvas, LEFT, RIGHT};
use super::{Sketch, Values};

/// Most marks drawn; beyond it, those outside their window and the first.
const MOST: usize = 120;
const ROW: f64 = 24.0;
const HEAD: f64 = 28.0;

pub(super) fn draw(title: &str, lanes: &[Lane]) -> Sketch {
    let marks = || lanes.iter().flat_map(|lane| &lane.marks);
    let (total, outside) = (marks().count(), marks().filter(|mark| !mark.holds).count());
    let bounded = marks()
        .filter(|mark| mark.earliest.is_some() || mark.latest.is_some())
        .count();
    let mut summary = format!(
        "{} on {}; {}.",
        count(total, "event"),
        count(lanes.len(), "lane"),
        match (outside, bounded) {
            (0, 0) => "none had to fall into a window".to_owned(),
            (0, 1) => "the one with a window is inside it".to_owned(),
            (0, n) => format!("all {n} with a window are inside it"),
            (n, _) => format!("{n} outside the window allowed"),
        }
    );
    let mut room = MOST.saturating_sub(outside.min(MOST));
    let mut rest = MOST;
    let shown: Vec<(&str, Vec<&Mark>)> = lanes
        .iter()
        .map(|lane| {
            let marks = lane.marks.iter().filter(|mark| {
                let left = if mark.holds { &mut room } else { &mut rest };
                let show = *left > 0;
                *left = left.saturating_sub(1);
                show
            });
            (lane.label.as_str(), marks.collect())
        })
        .collect();
    let drawn: usize = shown.iter().map(|(_, marks)| marks.len()).sum();
    if drawn < total {
        let _ = write!(
            summary,
            " Drawn are {drawn} of them: those outside and the first."
        );
    }
    let edges = || marks().flat_map(|m| [Some(m.at), m.earliest, m.latest]).flatten();
    let low = edges().filter(|v| v.is_finite()).fold(0.0, f64::min);
    let high = edges().filter(|v| v.is_finite()).fold(0.0, f64::max);
    let axis = Axis::of_times(low, high + (high - low) * 0.04);
    let bottom = 8.0
        + shown
            .iter()
            .map(|(_, marks)| HEAD + marks.iter().map(|_| ROW).sum::<f64>())
            .sum::<f64>();
    let mut canvas = Canvas::new(bottom + 26.0);
    axis.draw(&mut canvas, 8.0, bottom);
    let mut y = 0.0;
    for (label, marks) in &shown {
        canvas.text((0.0, y + 20.0), Anchor::Start, "strong", label);
        y += HEAD;
        for mark in marks {
            row(&mut canvas, &axis, mark, y);
            y += ROW;
        }
    }
    Sketch {
        title: title.to_owned(),
        svg: canvas.finish(&format!("{title}. {summary}")),
        summary,
        holds: outside == 0,
        table: Values {
            columns: vec!["Lane", "Event", "At", "Allowed", "Result"],
            rows: lanes
                .iter()
                .flat_map(|lane| {
                    lane.marks.iter().map(|mark| {
                        vec![
                            lane.label.clone(),
                            mark.label.clone(),
                            time(mark.at),
                            window(mark).unwrap_or_else(|| "any time".to_owned()),
                            verdict(mark),
                        ]
                    })
                })
                .collect(),
        },
    }
}

fn row(canvas: &mut Canvas, axis: &Axis, mark: &Mark, y: f64) {
    let middle = y + ROW / 2.0;
    canvas.label(middle + 4.0, "label", &mark.label);
    if mark.earliest.is_some() || mark.latest.is_some() {
        let from = mark.earliest.map_or(LEFT, |at| axis.place(at));
        let to = mark.latest.map_or(RIGHT, |at| axis.place(at));
        let hint = window(mark).unwrap_or_default();
        canvas.rect(
            (from, y + 5.0),
            ((to - from).max(2.0), ROW - 10.0),
            "window",
            &hint,
        );
        // Only a bounded side has an end; an open side runs out of the picture.
        for (bounded, x) in [(mark.earliest.is_some(), from), (mark.latest.is_some(), to)] {
            if bounded {
                canvas.line((x, y + 3.0), (x, y + ROW - 3.0), "bound");
            }
        }
    }
    let x = axis.place(mark.at);
    let hint = format!("{} at {}", mark.label, time(mark.at));
    if mark.holds {
        canvas.dot((x, middle), 5.0, "mark", &hint);
    } else {
        canvas.cross((x, middle), 5.5, "cross", &hint);
    }
    let words = if mark.holds {
        match window(mark) {
            Some(window) => format!("{}, allowed {window}", time(mark.at)),
            None => time(mark.at),
        }
    } else {
        format!("{}, {}", time(mark.at), verdict(mark))
    };
    let class = if mark.holds { "note" } else { "note wrong" };
    canvas.text((RIGHT + 16.0, middle + 4.0), Anchor::Start, class, &words);
}

/// "10 s to 15 s", none where nothing is bounded.
fn window(mark: &Mark) -> Option<String> {
    match (mark.earliest, mark.latest) {
        (Some(earliest), Some(latest)) => Some(format!("{} to {}", time(earliest), time(latest))),
        (Some(earliest), None) => Some(format!("from {}", time(earliest))),
        (None, Some(latest)) => Some(format!("until {}", time(latest))),
        (None, None) => None,
    }
}

fn verdict(mark: &Mark) -> String {
    match (mark.earliest, mark.latest) {
        _ if mark.holds => "as allowed".to_owned(),
        (Some(earliest), _) if mark.at < earliest => format!("{} too early", time(earliest - mark.at)),
        (_, Some(latest)) if mark.at > latest => format!("{} too late", time(mark.at - latest)),
        _ => "not as allowed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_marks_than_fit_leave_those_outside_in_sight() {
        let marks = (0..500u32)
            .map(|n| Mark {
                label: format!("event {n}"),
                at: f64::from(n),
                earliest: None,
                latest: Some(490.0),
                holds: n <= 490,
            })
            .collect();
        let lanes = [Lane {
            label: "soak".into(),
            marks,
        }];
        let sketch = draw("many", &lanes);
        assert_eq!(sketch.svg.matches("class=\"cross\"").count(), 9);
        assert_eq!(sketch.svg.matches("class=\"mark\"").count(), MOST - 9);
        assert!(sketch.summary.contains("Drawn are 120"), "{}", sketch.summary);
        assert_eq!(sketch.table.rows.len(), 500);
    }
}
