//! Elasticsearch's bulk API: newline-delimited actions and documents, and the
//! answer that has one status an item.
//!
//! Documented in Elasticsearch 8.19, "Bulk API"; Logstash's elasticsearch
//! output writes the same requests (`document_id`, `action`).

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::stamped::{Field, Stamped, Template};

/// Content type of a request.
pub const CONTENT_TYPE: &str = "application/x-ndjson";
/// What of the answer is asked for: one status an item, and the words of errors.
pub const FILTER_PATH: &str = "errors,items.*.status,items.*.error.type,items.*.error.reason";
/// Most of a reason that is kept.
const WORDS_KEPT: usize = 400;

/// What to do with a document whose identifier is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It replaces the one that is there; Logstash's default.
    #[default]
    Index,
    /// It is refused with 409; the only one that data streams take.
    Create,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Create => "create",
        }
    }
}

/// One document in the making of a request.
#[derive(Debug, Clone)]
pub struct Item<'a> {
    /// Index, alias or data stream that it goes to.
    pub index: &'a str,
    /// Its JSON text, in one line.
    pub document: &'a Template,
}

/// Lays out a request; every document's `_id` is the record's identifier.
#[must_use]
pub fn lay_out<'a>(action: Action, items: impl IntoIterator<Item = Item<'a>>) -> Stamped {
    let mut request = Template::new();
    let mut places = Vec::new();
    for item in items {
        let before = request.places();
        request.push(format!(
            "{{\"{}\":{{\"_index\":{},\"_id\":\"",
            action.word(),
            Value::from(item.index)
        ));
        request.field(Field::Id);
        request.push("\"}}\n");
        request.append(item.document);
        request.push("\n");
        places.push(request.places() - before);
    }
    Stamped::new(request, places)
}

/// Why a text is no bulk request or answer.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    /// A line is not what it should be.
    #[error("line {line} of the bulk request is no {what}: {why}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What it should be.
        what: &'static str,
        /// Why it is not.
        why: String,
    },
    /// The answer is not what Elasticsearch says.
    #[error("the answer to the bulk request cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
    /// The answer is about another number of items.
    #[error("the answer to the bulk request is about {got} items, {sent} were sent")]
    Count {
        /// Items sent.
        sent: usize,
        /// Items answered.
        got: usize,
    },
}

/// A document of a request, read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// What was to be done.
    pub action: Action,
    /// Where to.
    pub index: String,
    /// Its identifier.
    pub id: String,
    /// The document.
    pub source: Value,
}

/// Reads a request back.
pub fn decode(body: &str) -> Result<Vec<Read>, BulkError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Target {
        #[serde(rename = "_index")]
        index: String,
        #[serde(rename = "_id")]
        id: String,
    }
    let mut items = Vec::new();
    let mut lines = body.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let wrong = |what, line, why: String| BulkError::Line { line, what, why };
        let action: IndexMap<String, Target> =
            serde_json::from_str(line).map_err(|error| wrong("action", number, error.to_string()))?;
        let (word, target) = action
            .into_iter()
            .next()
            .ok_or_else(|| wrong("action", number, "it is empty".into()))?;
        let action = [Action::Index, Action::Create]
            .into_iter()
            .find(|action| action.word() == word)
            .ok_or_else(|| wrong("action", number, format!("`{word}` is neither index nor create")))?;
        let (document, number) = lines
            .next()
            .ok_or_else(|| wrong("document", number + 1, "it is missing".into()))?;
        let source =
            serde_json::from_str(document).map_err(|error| wrong("document", number, error.to_string()))?;
        items.push(Read {
            action,
            index: target.index,
            id: target.id,
            source,
        });
    }
    Ok(items)
}

/// What became of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Stored as a new one.
    Created,
    /// Stored in place of the one with its identifier.
    Replaced,
    /// Not stored.
    Refused {
        /// Status of the item: 429 where the server has too much to do, 409 where `create` found one.
        status: u16,
        /// Kind of the error, for example `mapper_parsing_exception`.
        kind: String,
        /// The server's words.
        reason: String,
    },
}

/// Reads an answer to a request of `sent` documents: what became of each, in their order.
pub fn read_answer(body: &[u8], sent: usize) -> Result<Vec<Fate>, BulkError> {
    #[derive(Deserialize)]
    struct Answer {
        items: Vec<IndexMap<String, Outcome>>,
    }
    #[derive(Deserialize)]
    struct Outcome {
        status: u16,
        error: Option<Cause>,
    }
    #[derive(Deserialize)]
    struct Cause {
        #[serde(rename = "type")]
        kind: Option<String>,
        reason: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(body)?;
    let fates: Vec<Fate> = answer
        .items
        .into_iter()
        .filter_map(|item| item.into_iter().next())
        .map(|(_, outcome)| match (outcome.status, outcome.error) {
            (201, None) => Fate::Created,
            (200, None) => Fate::Replaced,
            (status, cause) => {
                let cause = cause.unwrap_or(Cause {
                    kind: None,
                    reason: None,
                });
                Fate::Refused {
                    status,
                    kind: cause.kind.unwrap_or_default(),
                    reason: cause
                        .reason
                        .unwrap_or_default()
                        .chars()
                        .take(WORDS_KEPT)
                        .collect(),
                }
            }
        })
        .collect();
    if fates.len() == sent {
        Ok(fates)
    } else {
        Err(BulkError::Count {
            sent,
            got: fates.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::stamped::tests::stamps;
    use proptest::prelude::*;

    fn document(message: &str) -> Template {
        let mut document = Template::new();
        document.push("{\"@timestamp\":\"");
        document.field(Field::Time);
        document.push(format!("\",\"message\":{}}}", Value::from(message)));
        document
    }

    proptest! {
        /// forall messages, stamps: what is laid out and stamped reads back, document by document
        #[test]
        fn a_request_reads_back(
            records in proptest::collection::vec((".{0,40}", stamps()), 0..8), create in any::<bool>(), index in "[a-z\"é-]{1,8}"
        ) {
            let action = if create { Action::Create } else { Action::Index };
            let documents: Vec<Template> = records.iter().map(|(message, _)| document(message)).collect();
            let mut request = lay_out(action, documents.iter().map(|document| Item { index: &index, document }));
            request.stamp(|at| records[at].1);
            let read = decode(std::str::from_utf8(request.body()).unwrap()).unwrap();
            prop_assert_eq!(read.len(), records.len());
            for (item, (message, stamp)) in read.iter().zip(&records) {
                prop_assert_eq!((item.action, &item.index), (action, &index));
                prop_assert_eq!(&item.id, &format!("{:016x}", stamp.id));
                prop_assert_eq!(item.source["message"].as_str(), Some(message.as_str()));
            }
        }
    }

    #[test]
    fn every_item_of_an_answer_has_its_fate() {
        let body = br#"{"errors":true,"items":[
            {"index":{"status":201}},
            {"index":{"status":200}},
            {"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"there"}}},
            {"index":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"full"}}}]}"#;
        let refused = |status, kind: &str, reason: &str| Fate::Refused {
            status,
            kind: kind.into(),
            reason: reason.into(),
        };
        assert_eq!(
            read_answer(body, 4).unwrap(),
            [
                Fate::Created,
                Fate::Replaced,
                refused(409, "version_conflict_engine_exception", "there"),
                refused(429, "es_rejected_execution_exception", "full"),
            ]
        );
        assert!(
            read_answer(body, 5)
                .unwrap_err()
                .to_string()
                .contains("4 items, 5 were sent")
        );
    }
}
