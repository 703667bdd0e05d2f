//! What the API's answers look like (Loki v3, `pkg/loghttp`), and their reading into the client's words.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

use super::{Entry, Labels, Series, Stream};

/// The envelope of every successful answer. Data that would be empty may be left out.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<T> {
    #[serde(default = "none")]
    pub(super) data: Option<T>,
}

fn none<T>() -> Option<T> {
    None
}

#[derive(Debug, Deserialize)]
pub(super) struct BuildInfo {
    pub(super) version: String,
}

/// The data of a query.
#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
pub(super) enum Result {
    Streams(Vec<WireStream>),
    Matrix(Vec<WireMatrix>),
    Vector(Vec<WireVector>),
}

#[derive(Debug, Deserialize)]
pub(super) struct WireStream {
    stream: Labels,
    values: Vec<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireMatrix {
    metric: Labels,
    values: Vec<(f64, String)>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireVector {
    metric: Labels,
    value: (f64, String),
}

impl Result {
    pub(super) fn streams(self) -> std::result::Result<Vec<Stream>, String> {
        let Self::Streams(streams) = self else {
            return Err("the answer holds numbers; ask with a query that gives lines".to_owned());
        };
        streams
            .into_iter()
            .map(|stream| {
                Ok(Stream {
                    labels: stream.stream,
                    entries: stream
                        .values
                        .into_iter()
                        .map(entry)
                        .collect::<std::result::Result<_, String>>()?,
                })
            })
            .collect()
    }

    pub(super) fn series(self) -> std::result::Result<Vec<Series>, String> {
        match self {
            Self::Matrix(series) => Ok(series
                .into_iter()
                .map(|one| Series {
                    labels: one.metric,
                    samples: one.values,
                })
                .collect()),
            Self::Vector(samples) => Ok(samples
                .into_iter()
                .map(|one| Series {
                    labels: one.metric,
                    samples: vec![one.value],
                })
                .collect()),
            Self::Streams(_) => Err("the answer holds lines; ask with a query that gives numbers".to_owned()),
        }
    }
}

/// `[nanoseconds, line]`, or `[nanoseconds, line, metadata]`.
fn entry(values: Vec<Value>) -> std::result::Result<Entry, String> {
    let mut values = values.into_iter();
    let (Some(Value::String(at)), Some(Value::String(line))) = (values.next(), values.next()) else {
        return Err("an entry is not an instant and a line".to_owned());
    };
    let mut metadata = IndexMap::new();
    if let Some(more) = values.next() {
        for (name, value) in more.as_object().into_iter().flatten() {
            match value {
                // With categorized labels the two kinds are maps of their own.
                Value::Object(inner) => metadata.extend(
                    inner
                        .iter()
                        .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())),
                ),
                value => {
                    metadata.insert(name.clone(), value.as_str().unwrap_or_default().to_owned());
                }
            }
        }
    }
    Ok(Entry {
        at: at
            .parse()
            .map_err(|_| format!("`{at}` is no instant in nanoseconds"))?,
        line,
        metadata,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_keep_their_nanoseconds() {
        let envelope: Envelope<Result> = serde_json::from_value(json!({
            "status": "success",
            "data": {"resultType": "streams", "result": [
                {"stream": {"app": "x"}, "values": [["1795490495184147877", "one"], ["1795490495184147878", "two", {"traceid": "7"}]]}],
                "stats": {}}
        }))
        .unwrap();
        let streams = envelope.data.unwrap().streams().unwrap();
        assert_eq!(streams[0].entries[0].at, 1_795_490_495_184_147_877);
        assert_eq!(streams[0].entries[1].metadata["traceid"], "7");
    }

    #[test]
    fn metadata_is_told_apart_from_labels() {
        // Shape of Loki 3.7 with `categorize-labels`.
        let envelope: Envelope<Result> = serde_json::from_value(json!({
            "status": "success",
            "data": {"resultType": "streams", "encodingFlags": ["categorize-labels"], "result": [
                {"stream": {"app": "x"}, "values": [
                    ["1795490495184147877", "{}", {"structuredMetadata": {"detected_level": "error"}, "parsed": {"a": "7"}}],
                    ["1795490495184147878", "{}", {}]]}],
                "stats": {}}
        }))
        .unwrap();
        let streams = envelope.data.unwrap().streams().unwrap();
        assert_eq!(
            streams[0].labels,
            Labels::from([("app".to_owned(), "x".to_owned())])
        );
        assert_eq!(streams[0].entries[0].metadata["detected_level"], "error");
        assert_eq!(streams[0].entries[0].metadata["a"], "7");
        assert!(streams[0].entries[1].metadata.is_empty());
    }

    #[test]
    fn numbers_are_no_lines() {
        let envelope: Envelope<Result> = serde_json::from_value(json!({
            "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1_795_490_495.184, "3"]}]}
        }))
        .unwrap();
        let data = envelope.data.unwrap();
        assert!(data.streams().unwrap_err().contains("numbers"));
    }
}
