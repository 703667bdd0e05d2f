//! The documents of a manifest file.

use std::path::Path;

use serde_json::Value;

use super::{DeployError, Object};

/// One YAML document of a file, not parsed yet.
#[derive(Debug, PartialEq, Eq)]
struct Document<'t> {
    /// Its text, from its marker on.
    text: &'t str,
    /// Line its text starts on, from 1.
    first_line: usize,
    /// Line its content starts on, none when it has none.
    content_line: Option<usize>,
}

/// Splits a YAML stream at its document markers. A line that starts with `---` is a marker
/// wherever it stands (YAML 1.2.2, 9.1.2: no scalar may contain it at the start of a line).
fn split(text: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut start, mut first_line, mut content_line, mut offset) = (0, 1, None, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let bare = line.trim_end();
        let marker = ["---", "..."].iter().any(|m| {
            bare.strip_prefix(m)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
        });
        if marker {
            documents.push(Document {
                text: &text[start..offset],
                first_line,
                content_line,
            });
            (start, first_line, content_line) = (offset, index + 1, None);
        }
        let content = if marker {
            bare[3..].trim_start()
        } else {
            bare.trim_start()
        };
        if content_line.is_none()
            && !content.is_empty()
            && !content.starts_with('#')
            && !content.starts_with('%')
        {
            content_line = Some(index + 1);
        }
        offset += line.len();
    }
    documents.push(Document {
        text: &text[start..],
        first_line,
        content_line,
    });
    documents
}

/// The objects of a manifest file, `List`s unpacked; documents without content are left out.
pub(super) fn objects(file: &Path, text: &str) -> Result<Vec<Object>, DeployError> {
    let mut objects = Vec::new();
    for document in split(text) {
        let Some(line) = document.content_line else {
            continue;
        };
        // A document end marker (`...`) before the content would end the document at once.
        let body = document.text.strip_prefix("...").unwrap_or(document.text);
        let value: Value =
            serde_saphyr::from_str(body).map_err(|error| parse_error(file, document.first_line, &error))?;
        if value.is_null() {
            continue;
        }
        unpack(file, line, value, &mut objects)?;
    }
    Ok(objects)
}

fn unpack(file: &Path, line: usize, value: Value, objects: &mut Vec<Object>) -> Result<(), DeployError> {
    let mut object = Object {
        file: file.to_owned(),
        line,
        value,
    };
    if object.kind().ends_with("List") && object.value.get("items").is_some_and(Value::is_array) {
        if let Some(Value::Array(items)) = object.value.get_mut("items").map(Value::take) {
            for item in items {
                unpack(file, line, item, objects)?;
            }
        }
        return Ok(());
    }
    for (pointer, field) in [
        ("/apiVersion", "apiVersion"),
        ("/kind", "kind"),
        ("/metadata/name", "metadata.name"),
    ] {
        if object.text(pointer).is_empty() {
            return Err(object.wrong(
                field,
                "missing or not a text; every document of the deploy tree is a Kubernetes object with \
                 `apiVersion`, `kind` and `metadata.name`",
            ));
        }
    }
    objects.push(object);
    Ok(())
}

/// The parser's error, placed in the file.
fn parse_error(file: &Path, first_line: usize, error: &serde_saphyr::Error) -> DeployError {
    let bare = error.without_snippet();
    let (line, column) = bare.location().map_or((1, 1), |at| (at.line(), at.column()));
    let offset = u64::try_from(first_line).unwrap_or(1) - 1;
    DeployError::Parse {
        path: file.to_owned(),
        line: line + offset,
        column,
        why: without_place(&bare.to_string()),
    }
}

/// The parser's words without the line and column of the document, which would contradict those of the file.
fn without_place(message: &str) -> String {
    let first = message.lines().next().unwrap_or(message);
    let first = first.strip_prefix("error: ").unwrap_or(first);
    match first.split_once(": ") {
        Some((place, rest)) if place.starts_with("line ") => rest.to_owned(),
        _ => match first.rfind(" at line ") {
            Some(cut) => first[..cut].to_owned(),
            None => first.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TWO: &str = "# a comment\n---\n# only this\n---\n\napiVersion: v1\nkind: A\nmetadata: {name: one}\n--- # next\napiVersion: v1\nkind: B\nmetadata:\n  name: two\n";

    #[test]
    fn objects_keep_the_line_their_content_starts_on() {
        let found = objects(Path::new("f.yaml"), TWO).unwrap();
        let places: Vec<_> = found.iter().map(|o| (o.id(), o.line)).collect();
        assert_eq!(places, [("A/one".to_owned(), 6), ("B/two".to_owned(), 10)]);
    }

    #[test]
    fn a_syntax_error_is_placed_in_the_file_and_not_in_its_document() {
        let text = format!("{TWO}---\napiVersion: v1\nkind: C\nmetadata:\n  name: [three\n");
        let DeployError::Parse { line, why, .. } = objects(Path::new("f.yaml"), &text).unwrap_err() else {
            panic!("must be a parse error");
        };
        assert!((17..=19).contains(&line), "line {line}: {why}");
    }

    #[test]
    fn a_duplicate_key_is_placed_in_the_file() {
        let text = format!("{TWO}---\napiVersion: v1\nkind: C\nkind: D\n");
        let error = objects(Path::new("f.yaml"), &text).unwrap_err().to_string();
        assert!(error.starts_with("f.yaml:17:1: "), "{error}");
        assert!(error.contains("duplicate"), "{error}");
    }

    #[test]
    fn lists_are_unpacked() {
        let text = "apiVersion: v1\nkind: List\nitems:\n  - {apiVersion: v1, kind: A, metadata: {name: one}}\n  - {apiVersion: v1, kind: A, metadata: {name: two}}\n";
        let ids: Vec<_> = objects(Path::new("f.yaml"), text)
            .unwrap()
            .iter()
            .map(Object::id)
            .collect();
        assert_eq!(ids, ["A/one", "A/two"]);
    }

    #[test]
    fn a_document_that_is_no_object_is_refused() {
        let error = objects(Path::new("f.yaml"), "apiVersion: v1\nkind: A\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("f.yaml:1: A/: metadata.name: missing"),
            "{error}"
        );
    }

    proptest! {
        /// forall text: the documents of a text, put together, are the text
        #[test]
        fn splitting_loses_nothing(text in "(---\n|a: b\n|\n|# c\n|--- d\n|\\.\\.\\.\n){0,12}") {
            let together: String = split(&text).iter().map(|d| d.text).collect();
            prop_assert_eq!(together, text);
        }
    }
}
