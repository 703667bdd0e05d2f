//! A small SVG writer that escapes every text and every number.

use std::fmt::Write as _;

use super::super::plain::{clean, cut};

/// Width of every picture in user units; the page scales it.
pub(super) const WIDTH: f64 = 960.0;
/// Where the plot begins, right of the row labels.
pub(super) const LEFT: f64 = 220.0;
/// Where the plot ends, left of the words about a row.
pub(super) const RIGHT: f64 = 720.0;
/// Characters that fit into the space of a row label.
pub(super) const LABEL: usize = 29;

/// Which end of a text stands at its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// An `svg` element being written.
#[derive(Debug)]
pub(super) struct Canvas {
    height: f64,
    body: String,
}

impl Canvas {
    pub(super) fn new(height: f64) -> Self {
        Self {
            height,
            body: String::new(),
        }
    }

    pub(super) fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), class: &str, title: &str) {
        let title = title_element(title);
        self.element(format_args!(
            r#"<rect x="{}" y="{}" width="{}" height="{}" rx="2" class="{class}">{title}</rect>"#,
            Number(x),
            Number(y),
            Number(width.max(0.0)),
            Number(height.max(0.0)),
        ));
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        self.element(format_args!(
            r#"<line x1="{}" y1="{}" x2="{}" y2="{}" class="{class}"/>"#,
            Number(from.0),
            Number(from.1),
            Number(to.0),
            Number(to.1),
        ));
    }

    pub(super) fn dot(&mut self, (x, y): (f64, f64), radius: f64, class: &str, title: &str) {
        let title = title_element(title);
        self.element(format_args!(
            r#"<circle cx="{}" cy="{}" r="{}" class="{class}">{title}</circle>"#,
            Number(x),
            Number(y),
            Number(radius),
        ));
    }

    /// A cross, the shape of everything that is not as promised.
    pub(super) fn cross(&mut self, (x, y): (f64, f64), radius: f64, class: &str, title: &str) {
        let title = title_element(title);
        self.element(format_args!(
            r#"<path d="M{} {}L{} {}M{} {}L{} {}" class="{class}">{title}</path>"#,
            Number(x - radius),
            Number(y - radius),
            Number(x + radius),
            Number(y + radius),
            Number(x - radius),
            Number(y + radius),
            Number(x + radius),
            Number(y - radius),
        ));
    }

    /// A tick mark, the shape of what is as promised.
    pub(super) fn check(&mut self, (x, y): (f64, f64), radius: f64, class: &str) {
        self.element(format_args!(
            r#"<path d="M{} {}L{} {}L{} {}" class="{class}"/>"#,
            Number(x - radius),
            Number(y),
            Number(x - radius * 0.25),
            Number(y + radius * 0.75),
            Number(x + radius),
            Number(y - radius * 0.75),
        ));
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.element(format_args!(
            r#"<text x="{}" y="{}" text-anchor="{anchor}" class="{class}">{}</text>"#,
            Number(x),
            Number(y),
            Escaped(text),
        ));
    }

    /// A row's label, cut to its space; the whole text shows when it is pointed at.
    pub(super) fn label(&mut self, y: f64, class: &str, text: &str) {
        let short = cut(text, LABEL);
        let title = if short == text {
            String::new()
        } else {
            title_element(text)
        };
        self.element(format_args!(
            r#"<text x="0" y="{}" class="{class}">{}{title}</text>"#,
            Number(y),
            Escaped(&short),
        ));
    }

    /// The finished element; `name` is what a screen reader says.
    pub(super) fn finish(self, name: &str) -> String {
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>"#,
            Number(WIDTH),
            Number(self.height),
            Escaped(name),
            self.body,
        )
    }

    fn element(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.body.write_fmt(element);
    }
}

fn title_element(title: &str) -> String {
    if title.is_empty() {
        String::new()
    } else {
        format!("<title>{}</title>", Escaped(title))
    }
}

/// A coordinate, rounded to a tenth of a unit; what is not a number is zero.
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = if self.0.is_finite() {
            self.0.clamp(-1e6, 1e6)
        } else {
            0.0
        };
        write!(f, "{}", (value * 10.0).round() / 10.0)
    }
}

/// A text for element content or a quoted attribute.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in clean(self.0).chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_leave_their_element() {
        let mut canvas = Canvas::new(10.0);
        canvas.text((0.0, f64::NAN), Anchor::Start, "label", "</text><script>&\"'");
        assert_eq!(
            canvas.finish("a \"name\""),
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 960 10\" role=\"img\" \
             aria-label=\"a &quot;name&quot;\"><text x=\"0\" y=\"0\" text-anchor=\"start\" \
             class=\"label\">&lt;/text&gt;&lt;script&gt;&amp;&quot;&#39;</text></svg>"
        );
    }
}
