//! JSON objects with places for fields.

use serde_json::Value;

use crate::wire::stamped::{Field, Template};

/// A JSON object in the making, in one line.
#[derive(Debug)]
pub(crate) struct Object {
    template: Template,
    /// Whether a comma is due before the next member.
    comma: bool,
    depth: usize,
}

impl Object {
    pub(crate) fn new() -> Self {
        let mut template = Template::new();
        template.push("{");
        Self {
            template,
            comma: false,
            depth: 1,
        }
    }

    fn name(&mut self, name: &str) {
        if self.comma {
            self.template.push(",");
        }
        self.comma = true;
        self.template.push(Value::from(name).to_string());
        self.template.push(":");
    }

    /// A member with a value that does not change.
    pub(crate) fn value(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.name(name);
        self.template.push(value.into().to_string());
        self
    }

    /// A member with a stamped string.
    pub(crate) fn stamped(mut self, name: &str, field: Field) -> Self {
        self.name(name);
        self.template.push("\"");
        self.template.field(field);
        self.template.push("\"");
        self
    }

    /// A member with the stamped sequence number.
    pub(crate) fn sequence(mut self, name: &str) -> Self {
        self.name(name);
        self.template.field(Field::Sequence);
        self
    }

    /// Begins an object inside.
    pub(crate) fn open(mut self, name: &str) -> Self {
        self.name(name);
        self.template.push("{");
        self.comma = false;
        self.depth += 1;
        self
    }

    /// Ends the object begun last.
    pub(crate) fn close(mut self) -> Self {
        self.template.push("}");
        self.comma = true;
        self.depth = self.depth.saturating_sub(1);
        self
    }

    /// Ends everything that is still open.
    pub(crate) fn end(mut self) -> Template {
        while self.depth > 0 {
            self = self.close();
        }
        self.template
    }
}
