//! What the latency cases ask: fixtures/queries.yaml.
//!
//! Questions as dashboards and people ask them, and how often; how fast the answers have to be is
//! the contract's. The expressions of the recording and alert rules are the deploy tree's and are
//! not repeated here.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_saphyr::Spanned;

use crate::emit::schedule::Schedule;
use crate::files::{self, Misread};
use crate::judge::latency::budget::Looks;
use crate::units::Span;

/// The percentiles that budgets are given for, by the contract's names of them.
pub const PERCENTILES: [(&str, f64); 2] = [("p95", 0.95), ("p99", 0.99)];

/// All questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Queries {
    /// Of Prometheus.
    pub metrics: Metrics,
    /// Of Jaeger.
    pub traces: Traces,
    /// Of Elasticsearch.
    pub logs: Logs,
    /// Of Loki.
    pub loki: Lines,
}

/// How often questions are asked, and how many times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pace {
    /// Questions a second, whatever the answers do.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub rate: f64,
    /// Unanswered at the same time, at most, as browsers and Grafana limit themselves.
    #[schemars(range(min = 1))]
    pub at_once: usize,
    /// Asked before the first look at the latencies.
    #[schemars(range(min = 1))]
    pub first: usize,
    /// Asked at most, while the budget lies between the bounds.
    #[schemars(range(min = 1))]
    pub most: usize,
}

impl Pace {
    /// The looks at the latencies.
    pub fn looks(&self) -> Result<Looks, String> {
        Looks::new(self.first, self.most, &PERCENTILES.map(|(_, quantile)| quantile))
            .map_err(|error| error.to_string())
    }

    /// When what is asked.
    pub fn schedule(&self) -> Result<Schedule, String> {
        Schedule::new(self.rate).map_err(|error| error.to_string())
    }

    fn check(&self) -> Result<(), String> {
        if self.at_once == 0 {
            return Err("`at-once` must be at least 1".to_owned());
        }
        self.schedule()?;
        self.looks().map(drop)
    }
}

/// Questions of Prometheus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// How much history is loaded before anything is asked.
    pub history: Span,
    /// Points of a range query, as many as a panel has room for.
    #[schemars(range(min = 2, max = 11000))]
    pub points: u32,
    /// Pace of instant queries.
    pub instant: Pace,
    /// Pace of range queries.
    pub range: Pace,
    /// Panels of dashboards, beside the rules' expressions.
    pub panels: Vec<Panel>,
}

/// One query of a dashboard's panel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Panel {
    /// Name, unique among the panels.
    pub name: String,
    /// The dashboard it stands on.
    pub dashboard: String,
    /// How it is asked.
    pub kind: PanelKind,
    /// The expression; it gives data on a healthy day.
    pub expr: String,
}

/// How a panel asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PanelKind {
    /// For one instant: a single value or a table.
    Instant,
    /// Over a range: a graph.
    Range,
}

/// Questions of Jaeger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Traces {
    /// How many are loaded before anything is asked, over the time that searches look back.
    #[schemars(range(min = 1))]
    pub loaded: u64,
    /// Searches.
    pub search: TraceSearches,
    /// Single traces, whichever are stored.
    pub fetch: TraceFetches,
}

/// Searches for traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceSearches {
    /// Their pace.
    pub pace: Pace,
    /// How far they look back.
    pub lookback: Span,
    /// The searches.
    pub queries: Vec<TraceSearch>,
}

/// One search for traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TraceSearch {
    /// Name, unique among the searches.
    pub name: String,
    /// The service.
    pub service: String,
    /// The operation, any when none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Tags that a span must have.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub tags: IndexMap<String, String>,
    /// Shortest duration of a span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_duration: Option<Span>,
    /// Most traces that are wanted.
    #[schemars(range(min = 1))]
    pub limit: u32,
}

/// Fetches of single traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceFetches {
    /// Their pace.
    pub pace: Pace,
    /// How many different traces are fetched.
    #[schemars(range(min = 1))]
    pub traces: usize,
}

/// Questions of Elasticsearch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// How many documents are loaded before anything is asked, over the range that is asked for.
    #[schemars(range(min = 1))]
    pub loaded: u64,
    /// Searches for documents.
    pub search: LogQueries,
    /// Counts and histograms.
    pub aggregation: LogQueries,
}

/// Questions of Elasticsearch of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogQueries {
    /// Their pace.
    pub pace: Pace,
    /// The questions.
    pub queries: Vec<LogQuery>,
}

/// One question of Elasticsearch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// Name, unique among its kind.
    pub name: String,
    /// Index pattern.
    pub index: String,
    /// Body of the search; the texts `$from` and `$to` stand for the ends of the range.
    pub body: Value,
}

impl LogQuery {
    /// The body for a range, its ends as Elasticsearch takes them (RFC 3339 or unix milliseconds).
    #[must_use]
    pub fn body_between(&self, from: &Value, to: &Value) -> Value {
        fn fill(value: &Value, from: &Value, to: &Value) -> Value {
            match value {
                Value::String(text) if text == "$from" => from.clone(),
                Value::String(text) if text == "$to" => to.clone(),
                Value::Array(items) => items.iter().map(|item| fill(item, from, to)).collect(),
                Value::Object(fields) => fields
                    .iter()
                    .map(|(name, value)| (name.clone(), fill(value, from, to)))
                    .collect(),
                other => other.clone(),
            }
        }
        fill(&self.body, from, to)
    }
}

/// Questions of Loki.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lines {
    /// How many lines are loaded before anything is asked, over the range that is asked for.
    #[schemars(range(min = 1))]
    pub loaded: u64,
    /// Points of a query that counts, as many as a panel has room for.
    #[schemars(range(min = 2, max = 11000))]
    pub points: u32,
    /// Their pace.
    pub pace: Pace,
    /// The questions.
    pub queries: Vec<LineQuery>,
}

/// One range query of Loki.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LineQuery {
    /// Name, unique among the queries.
    pub name: String,
    /// The `LogQL` expression.
    pub expr: String,
    /// Most lines that are wanted; none for queries that count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Why the questions cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QueriesError {
    /// The file cannot be read.
    #[error("{path}: {source}; queries.yaml is one of the fixtures, give their folder with --root", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not parse, or says something that makes no sense.
    #[error("{path}:{line}:{column}: {why}", path = .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// What is wrong and what to write instead.
        why: String,
    },
}

/// Name of the file among the fixtures.
pub const FILE: &str = "queries.yaml";

impl Queries {
    /// Reads and checks the file.
    pub fn load(path: &Path) -> Result<Self, QueriesError> {
        let text = std::fs::read_to_string(path).map_err(|source| QueriesError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Parses and checks the text; `path` is for messages. The first thing wrong is the error.
    pub fn parse(path: &Path, text: &str) -> Result<Self, QueriesError> {
        let queries: Self =
            files::yaml(text).map_err(|Misread { line, column, why }| QueriesError::Wrong {
                path: path.to_owned(),
                line,
                column,
                why,
            })?;
        queries.check().map_err(|(place, why)| {
            let (line, column) = place.find(text).unwrap_or((1, 1));
            QueriesError::Wrong {
                path: path.to_owned(),
                line,
                column,
                why: format!("{place}: {why}"),
            }
        })?;
        Ok(queries)
    }

    /// The JSON schema of the file: the content of fixtures/queries.schema.json.
    #[must_use]
    pub fn schema() -> Value {
        schemars::schema_for!(Queries).to_value()
    }

    fn check(&self) -> Result<(), (Place, String)> {
        let paces = [
            ("metrics/instant", &self.metrics.instant),
            ("metrics/range", &self.metrics.range),
            ("traces/search/pace", &self.traces.search.pace),
            ("traces/fetch/pace", &self.traces.fetch.pace),
            ("logs/search/pace", &self.logs.search.pace),
            ("logs/aggregation/pace", &self.logs.aggregation.pace),
            ("loki/pace", &self.loki.pace),
        ];
        for (place, pace) in paces {
            pace.check().map_err(|why| (Place::field(place), why))?;
        }
        for (place, points) in [
            ("metrics/points", self.metrics.points),
            ("loki/points", self.loki.points),
        ] {
            if points < 2 {
                return Err((Place::field(place), "a graph has 2 points or more".to_owned()));
            }
        }
        for (place, loaded) in [
            ("traces/loaded", self.traces.loaded),
            ("logs/loaded", self.logs.loaded),
            ("loki/loaded", self.loki.loaded),
        ] {
            if loaded == 0 {
                return Err((
                    Place::field(place),
                    "there is nothing to ask for; load at least 1".to_owned(),
                ));
            }
        }
        unique(
            "metrics/panels",
            self.metrics.panels.iter().map(|one| one.name.as_str()),
        )?;
        unique(
            "traces/search/queries",
            self.traces.search.queries.iter().map(|one| one.name.as_str()),
        )?;
        unique(
            "logs/search/queries",
            self.logs.search.queries.iter().map(|one| one.name.as_str()),
        )?;
        unique(
            "logs/aggregation/queries",
            self.logs.aggregation.queries.iter().map(|one| one.name.as_str()),
        )?;
        unique(
            "loki/queries",
            self.loki.queries.iter().map(|one| one.name.as_str()),
        )?;
        for (number, panel) in self.metrics.panels.iter().enumerate() {
            promql_parser::parser::parse(&panel.expr).map_err(|why| {
                (
                    Place::field(&format!("metrics/panels/{number}/expr")),
                    format!("`{}` is not an expression of Prometheus: {why}", panel.expr),
                )
            })?;
        }
        Ok(())
    }
}

/// Names that are there, each once.
fn unique<'a>(list: &str, names: impl Iterator<Item = &'a str>) -> Result<(), (Place, String)> {
    let mut seen = HashSet::new();
    for (number, name) in names.enumerate() {
        if !seen.insert(name) {
            return Err((
                Place::item(list, number),
                format!("`{name}` is there twice; give one of them another name, or leave it out"),
            ));
        }
    }
    if seen.is_empty() {
        return Err((
            Place::field(list),
            "nothing is asked; write at least one".to_owned(),
        ));
    }
    Ok(())
}

/// Where something stands: names of fields and places in lists, from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place(String);

impl Place {
    fn field(fields: &str) -> Self {
        Self(fields.to_owned())
    }

    fn item(list: &str, item: usize) -> Self {
        Self(format!("{list}/{item}"))
    }

    /// Line and column in the text, read once more because only a mistake needs them.
    fn find(&self, text: &str) -> Option<(u64, u64)> {
        let mut at: Spanned<Tree> = serde_saphyr::from_str(text).ok()?;
        for step in self.0.split('/') {
            at = match at.value {
                Tree::Leaf => return None,
                Tree::List(items) => items.into_iter().nth(step.parse().ok()?)?,
                Tree::Fields(mut fields) => fields.swap_remove(step)?,
            };
        }
        Some((at.referenced.line(), at.referenced.column()))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The shape of the text, with places.
enum Tree {
    Leaf,
    List(Vec<Spanned<Tree>>),
    Fields(IndexMap<String, Spanned<Tree>>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyShape;

        impl<'de> Visitor<'de> for AnyShape {
            type Value = Tree;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("anything")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Tree::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
                let mut fields = IndexMap::new();
                while let Some((name, value)) = entries.next_entry()? {
                    fields.insert(name, value);
                }
                Ok(Tree::Fields(fields))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }

            fn visit_str<E>(self, _: &str) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }

            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }
        }

        deserializer.deserialize_any(AnyShape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn shipped() -> String {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/queries.yaml"))
            .unwrap()
    }

    #[test]
    fn the_shipped_questions_are_sound() {
        let queries = Queries::parse(Path::new(FILE), &shipped()).unwrap();
        let schema = Queries::schema();
        let as_json = serde_json::to_value(&queries).unwrap();
        jsonschema::validate(&schema, &as_json).unwrap();
    }

    #[test]
    fn the_shipped_schema_is_that_of_the_types() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/queries.schema.json");
        let shipped: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(shipped, Queries::schema(), "run `cargo conform schema --write`");
    }

    #[rstest]
    #[case::unknown_field("points: 720", "pints: 720", "unknown field `pints`")]
    #[case::too_few(
        "first: 450",
        "first: 300",
        "metrics/instant: 300 samples are too few to judge the 99th percentile in 3 looks; take 408 at first"
    )]
    #[case::no_rate("rate: 100", "rate: 0", "metrics/instant: 0 is not a rate")]
    #[case::no_expression(
        "expr: sum(up)",
        "expr: sum(up",
        "metrics/panels/0/expr: `sum(up` is not an expression"
    )]
    #[case::nothing_loaded("loaded: 5000", "loaded: 0", "traces/loaded: there is nothing to ask for")]
    #[case::nothing_asked("points: 720", "points: 1", "metrics/points: a graph has 2 points or more")]
    fn a_mistake_is_named_with_its_line(#[case] find: &str, #[case] replace: &str, #[case] says: &str) {
        let text = shipped();
        assert!(text.contains(find), "the shipped questions have no `{find}`");
        let line = text.lines().position(|line| line.contains(find)).unwrap() + 1;
        let error = Queries::parse(Path::new(FILE), &text.replacen(find, replace, 1))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(&format!("queries.yaml:{line}:")) && error.contains(says),
            "{line} {error}"
        );
    }

    #[test]
    fn a_name_that_is_there_twice_is_an_error() {
        let text = shipped();
        let queries = Queries::parse(Path::new(FILE), &text).unwrap();
        let (first, second) = (&queries.metrics.panels[0].name, &queries.metrics.panels[1].name);
        let error = Queries::parse(
            Path::new(FILE),
            &text.replace(&format!("name: {second}"), &format!("name: {first}")),
        )
        .unwrap_err()
        .to_string();
        assert!(
            error.contains("metrics/panels/1") && error.contains("is there twice"),
            "{error}"
        );
    }

    #[test]
    fn the_ends_of_a_range_are_filled_in_wherever_they_stand() {
        let query = LogQuery {
            name: "n".into(),
            index: "app-*".into(),
            body: serde_json::json!({"query": {"range": {"@timestamp": {"gte": "$from", "lt": "$to"}}}, "sort": ["$to"]}),
        };
        assert_eq!(
            query.body_between(&Value::from(1), &Value::from(2)),
            serde_json::json!({"query": {"range": {"@timestamp": {"gte": 1, "lt": 2}}}, "sort": [2]})
        );
    }
}
