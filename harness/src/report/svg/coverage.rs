//! A grid of cells by group: ticked squares are covered, crossed ones are not.

use std::fmt::Write as _;

use indexmap::IndexMap;

use crate::drawing::Cell;

use super::super::plain::{clean, count};
use super::canvas::{Anchor, Canvas, LEFT, RIGHT};
use super::{Sketch, Values};

/// Cells in a line.
const ACROSS: usize = 25;
const PITCH: f64 = 20.0;
const SIDE: f64 = 16.0;
/// Most uncovered cells named in the sentence; the table names them all.
const NAMED: usize = 6;

pub(super) fn draw(title: &str, cells: &[Cell]) -> Sketch {
    let mut groups: IndexMap<&str, Vec<&Cell>> = IndexMap::new();
    for cell in cells {
        groups.entry(&cell.group).or_default().push(cell);
    }
    let bare: Vec<&str> = cells
        .iter()
        .filter(|cell| !cell.covered)
        .map(|cell| cell.label.as_str())
        .collect();
    let mut summary = format!(
        "{} of {} covered",
        cells.len() - bare.len(),
        count(cells.len(), "cell")
    );
    if !bare.is_empty() {
        summary.push_str("; not covered: ");
        summary.push_str(&bare[..bare.len().min(NAMED)].join(", "));
        if bare.len() > NAMED {
            let _ = write!(summary, " and {} more", bare.len() - NAMED);
        }
    }
    summary.push('.');
    let lines = |cells: &[&Cell]| cells.chunks(ACROSS).map(|_| PITCH).sum::<f64>();
    let height: f64 = groups.values().map(|cells| lines(cells) + 10.0).sum();
    let mut canvas = Canvas::new(height.max(10.0));
    let mut y = 2.0;
    for (group, cells) in &groups {
        canvas.label(y + 13.0, "label", group);
        let covered = cells.iter().filter(|cell| cell.covered).count();
        let (class, words) = if covered == cells.len() {
            ("note", format!("all {covered}"))
        } else {
            ("note wrong", format!("{covered} of {}", cells.len()))
        };
        canvas.text((RIGHT + 16.0, y + 13.0), Anchor::Start, class, &words);
        for line in cells.chunks(ACROSS) {
            let mut x = LEFT;
            for cell in line {
                square(&mut canvas, cell, x, y);
                x += PITCH;
            }
            y += PITCH;
        }
        y += 10.0;
    }
    Sketch {
        title: title.to_owned(),
        svg: canvas.finish(&format!("{title}. {summary}")),
        summary,
        holds: bare.is_empty(),
        table: Values {
            columns: vec!["Group", "Cell", "Covered", "Note"],
            rows: cells
                .iter()
                .map(|cell| {
                    vec![
                        cell.group.clone(),
                        cell.label.clone(),
                        if cell.covered { "yes" } else { "no" }.to_owned(),
                        cell.note.clone().unwrap_or_default(),
                    ]
                })
                .collect(),
        },
    }
}

fn square(canvas: &mut Canvas, cell: &Cell, x: f64, y: f64) {
    let state = if cell.covered { "covered" } else { "not covered" };
    let hint = match &cell.note {
        Some(note) => format!("{}: {state}. {}", cell.label, clean(note)),
        None => format!("{}: {state}", cell.label),
    };
    let middle = (x + SIDE / 2.0, y + SIDE / 2.0);
    if cell.covered {
        canvas.rect((x, y), (SIDE, SIDE), "cell covered", &hint);
        canvas.check(middle, 3.5, "tickmark");
    } else {
        canvas.rect((x, y), (SIDE, SIDE), "cell bare", &hint);
        canvas.cross(middle, 3.5, "cross", &hint);
    }
}
