//! A ledger hop by hop: a bar for what was counted at each, a line where it should end.

use crate::drawing::Hop;

use super::super::plain::count;
use super::canvas::{Anchor, Canvas, LEFT, RIGHT};
use super::{Sketch, Values};

const ROW: f64 = 24.0;
const BAR: f64 = 12.0;

pub(super) fn draw(title: &str, unit: &str, hops: &[Hop]) -> Sketch {
    let wrong: Vec<&Hop> = hops.iter().filter(|hop| hop.counted != hop.expected).collect();
    let summary = match wrong.first() {
        None => format!("{} in balance.", count(hops.len(), "hop")),
        Some(first) => format!(
            "{} of {} out of balance, the first: {}, {} {unit}.",
            wrong.len(),
            count(hops.len(), "hop"),
            first.label,
            verdict(first)
        ),
    };
    let most = hops
        .iter()
        .map(|hop| hop.counted.max(hop.expected))
        .max()
        .unwrap_or(0);
    let rows: f64 = hops.iter().map(|_| ROW).sum();
    let mut canvas = Canvas::new(rows.max(ROW) + 4.0);
    let mut y = 2.0;
    for hop in hops {
        row(&mut canvas, hop, most, unit, y);
        y += ROW;
    }
    Sketch {
        title: title.to_owned(),
        svg: canvas.finish(&format!("{title}. {summary}")),
        summary,
        holds: wrong.is_empty(),
        table: Values {
            columns: vec!["Hop", "Counted", "Expected", "Result"],
            rows: hops
                .iter()
                .map(|hop| {
                    vec![
                        hop.label.clone(),
                        hop.counted.to_string(),
                        hop.expected.to_string(),
                        verdict(hop),
                    ]
                })
                .collect(),
        },
    }
}

fn row(canvas: &mut Canvas, hop: &Hop, most: u64, unit: &str, y: f64) {
    let middle = y + ROW / 2.0;
    let holds = hop.counted == hop.expected;
    canvas.label(middle + 4.0, "label", &hop.label);
    let hint = format!("{}: {} {unit} of {}", hop.label, hop.counted, hop.expected);
    let (width, expected) = (length(hop.counted, most), length(hop.expected, most));
    canvas.rect(
        (LEFT, middle - BAR / 2.0),
        (width, BAR),
        if holds { "block kept" } else { "block kept wrong" },
        &hint,
    );
    let end = LEFT + expected;
    canvas.line((end, y + 3.0), (end, y + ROW - 3.0), "bound");
    if !holds {
        canvas.cross((LEFT + width, middle), 5.5, "cross", &hint);
    }
    let (class, words) = if holds {
        ("note", hop.counted.to_string())
    } else {
        ("note wrong", format!("{}, {}", hop.counted, verdict(hop)))
    };
    canvas.text((RIGHT + 16.0, middle + 4.0), Anchor::Start, class, &words);
}

#[expect(clippy::cast_precision_loss, reason = "a picture has fewer points than that")]
fn length(count: u64, most: u64) -> f64 {
    (RIGHT - LEFT) * (count as f64 / most.max(1) as f64)
}

fn verdict(hop: &Hop) -> String {
    match hop.counted.cmp(&hop.expected) {
        std::cmp::Ordering::Less => format!("{} too few", hop.expected - hop.counted),
        std::cmp::Ordering::Equal => "as expected".to_owned(),
        std::cmp::Ordering::Greater => format!("{} too many", hop.counted - hop.expected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(label: &str, counted: u64, expected: u64) -> Hop {
        Hop {
            label: label.to_owned(),
            counted,
            expected,
        }
    }

    #[test]
    fn a_ledger_in_balance_says_so() {
        let sketch = draw("spans", "spans", &[hop("sent", 700, 700), hop("stored", 70, 70)]);
        assert!(sketch.holds);
        assert_eq!(sketch.summary, "2 hops in balance.");
        assert!(!sketch.svg.contains("cross"));
    }

    #[test]
    fn the_first_hop_out_of_balance_is_named() {
        let hops = [hop("sent", 700, 700), hop("kept", 60, 70), hop("stored", 80, 70)];
        let sketch = draw("spans", "spans", &hops);
        assert!(!sketch.holds);
        assert_eq!(
            sketch.summary,
            "2 of 3 hops out of balance, the first: kept, 10 too few spans."
        );
        assert_eq!(sketch.svg.matches("class=\"cross\"").count(), 2);
    }
}
