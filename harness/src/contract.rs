//! What was promised: fixtures/contract.yaml, typed.
//!
//! Every sentence of the stack's description that holds a number or a
//! checkable fact is one promise. Cases ask for a promise's values by id and
//! name; nothing else in the project knows a production number.
//!
//! A contract is parsed strictly: an unknown field, a number without its unit
//! or an id that is there twice is an error with the line it stands on.

mod check;
mod message;

use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Bytes, Ratio, Span};
use crate::verdict::Level;

/// All promises.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// The promises, in the order of the description.
    #[schemars(length(min = 1))]
    pub promises: Vec<Promise>,
}

/// One sentence of the contract with its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Promise {
    /// Stable id in kebab case, area first: `metrics-retention-time`.
    #[schemars(regex(pattern = check::KEBAB_CASE))]
    pub id: String,
    /// How binding it is.
    pub level: Level,
    /// The promise, as one sentence.
    #[schemars(length(min = 1))]
    pub says: String,
    /// Where the description says it, for example `Configuration / Prometheus`.
    #[schemars(length(min = 1))]
    pub place: String,
    /// Why this value, where the description leaves it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub reason: Option<String>,
    /// Its values by name, in kebab case.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("propertyNames" = { "pattern": check::KEBAB_CASE }))]
    pub values: IndexMap<String, Value>,
}

/// A value with its unit, written as a mapping of one entry: `duration: 30d`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// A duration.
    Duration(Span),
    /// A size.
    Bytes(Bytes),
    /// A share of a whole.
    Ratio(Ratio),
    /// A number of things.
    Count(u64),
    /// A TCP port, from 1.
    Port(#[schemars(range(min = 1))] u16),
    /// A name or address.
    Text(#[schemars(length(min = 1))] String),
    /// Several names.
    Texts(#[schemars(length(min = 1))] Vec<String>),
}

impl Value {
    /// The name of its unit, as the contract writes it.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Duration(_) => "duration",
            Self::Bytes(_) => "bytes",
            Self::Ratio(_) => "ratio",
            Self::Count(_) => "count",
            Self::Port(_) => "port",
            Self::Text(_) => "text",
            Self::Texts(_) => "texts",
        }
    }
}

/// Why the contract cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// The file cannot be read.
    #[error("{path}: {source}; give the contract's path with --contract", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not parse.
    #[error("{path}:{line}:{column}: {why}", path = .path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// What is wrong and what to write instead.
        why: String,
    },
    /// A case asks for a promise that is not there.
    #[error("the contract has no promise `{id}`; add it or correct the case that names it")]
    NoPromise {
        /// The id asked for.
        id: String,
    },
    /// A case asks for a value that the promise does not have in that unit.
    #[error(
        "promise `{id}` has no {unit} named `{value}`, it has {has}; add it or correct the case that asks"
    )]
    NoValue {
        /// The promise.
        id: String,
        /// The value's name.
        value: String,
        /// The unit asked for.
        unit: &'static str,
        /// The values it does have, with their units.
        has: String,
    },
}

impl Contract {
    /// Reads and checks the contract.
    pub fn load(path: &Path) -> Result<Self, ContractError> {
        let text = std::fs::read_to_string(path).map_err(|source| ContractError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Parses and checks the text of a contract; `path` is for messages.
    ///
    /// The first thing wrong is the error, with its line and column.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ContractError> {
        let contract: Self = serde_saphyr::from_str(text).map_err(|error| message::of(path, &error))?;
        check::check(path, text, &contract)?;
        Ok(contract)
    }

    /// The JSON schema of a contract, for editors and other tools: the content of
    /// fixtures/contract.schema.json.
    ///
    /// It refuses unknown and missing fields, unknown units and numbers without one, as
    /// [`Contract::parse`] does. That ids are unique, that numbers are in range and that words are
    /// not blank only parsing checks.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Contract).to_value()
    }

    /// The promise with this id.
    pub fn promise(&self, id: &str) -> Result<&Promise, ContractError> {
        self.promises
            .iter()
            .find(|p| p.id == id)
            .ok_or_else(|| ContractError::NoPromise { id: id.to_owned() })
    }

    /// A duration of a promise.
    pub fn duration(&self, id: &str, value: &str) -> Result<Duration, ContractError> {
        self.value(id, value, "duration", |v| match v {
            Value::Duration(span) => Some(span.0),
            _ => None,
        })
    }

    /// A size of a promise.
    pub fn bytes(&self, id: &str, value: &str) -> Result<Bytes, ContractError> {
        self.value(id, value, "bytes", |v| match v {
            Value::Bytes(bytes) => Some(*bytes),
            _ => None,
        })
    }

    /// A share of a promise.
    pub fn ratio(&self, id: &str, value: &str) -> Result<Ratio, ContractError> {
        self.value(id, value, "ratio", |v| match v {
            Value::Ratio(ratio) => Some(*ratio),
            _ => None,
        })
    }

    /// A count of a promise.
    pub fn count(&self, id: &str, value: &str) -> Result<u64, ContractError> {
        self.value(id, value, "count", |v| match v {
            Value::Count(count) => Some(*count),
            _ => None,
        })
    }

    /// A TCP port of a promise.
    pub fn port(&self, id: &str, value: &str) -> Result<u16, ContractError> {
        self.value(id, value, "port", |v| match v {
            Value::Port(port) => Some(*port),
            _ => None,
        })
    }

    /// A text of a promise.
    pub fn text(&self, id: &str, value: &str) -> Result<String, ContractError> {
        self.value(id, value, "text", |v| match v {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// The texts of a promise.
    pub fn texts(&self, id: &str, value: &str) -> Result<Vec<String>, ContractError> {
        self.value(id, value, "texts", |v| match v {
            Value::Texts(texts) => Some(texts.clone()),
            _ => None,
        })
    }

    fn value<T>(
        &self,
        id: &str,
        value: &str,
        unit: &'static str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, ContractError> {
        let promise = self.promise(id)?;
        let missing = || ContractError::NoValue {
            id: id.to_owned(),
            value: value.to_owned(),
            unit,
            has: promise.inventory(),
        };
        promise.values.get(value).and_then(read).ok_or_else(missing)
    }
}

impl Promise {
    /// Its values with their units, for messages.
    fn inventory(&self) -> String {
        if self.values.is_empty() {
            return "no values".to_owned();
        }
        let values = self.values.iter();
        let values: Vec<String> = values
            .map(|(name, value)| format!("`{name}` ({})", value.unit()))
            .collect();
        values.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{hash_map, hash_set, vec};
    use proptest::option;
    use proptest::prelude::*;
    use rstest::rstest;

    fn fixtures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
    }

    fn fixture() -> Contract {
        Contract::load(&fixtures().join("contract.yaml")).expect("the contract must load")
    }

    fn schema_validator() -> jsonschema::Validator {
        jsonschema::validator_for(&Contract::schema()).expect("the contract's schema must be a schema")
    }

    fn promises(text: &str) -> Result<Contract, ContractError> {
        Contract::parse(Path::new("contract.yaml"), text)
    }

    fn kebab_case() -> impl Strategy<Value = String> {
        "[a-z][a-z0-9]{0,6}(-[a-z0-9]{1,6}){0,3}"
    }

    /// Texts with whatever YAML gives a meaning to: quotes, colons, line ends, numbers, `~`, `yes`.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ -~]{0,40}[!-~]",
            "\\PC{0,20}[!-~]\\PC{0,20}",
            "[!-~]{1,8}\n{1,2}[ -~]{0,8}",
            prop::sample::select(vec![
                "~", "yes", "null", "1", "0x10", ".inf", "- a", "a: b", "#", "<<", "{}", "!t"
            ])
            .prop_map(str::to_owned),
        ]
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            (0u64..1_000_000_000_000).prop_map(|ms| Value::Duration(Span(Duration::from_millis(ms)))),
            any::<u64>().prop_map(|bytes| Value::Bytes(Bytes(bytes))),
            (0u32..=10_000).prop_map(|hundredths| Value::Ratio(Ratio(f64::from(hundredths) / 100.0 / 100.0))),
            any::<u64>().prop_map(Value::Count),
            (1u16..).prop_map(Value::Port),
            text().prop_map(Value::Text),
            vec(text(), 1..4).prop_map(Value::Texts),
        ]
    }

    fn contract() -> impl Strategy<Value = Contract> {
        let level = prop::sample::select(vec![Level::Must, Level::Should, Level::May]);
        let values = hash_map(kebab_case(), value(), 0..4);
        let rest = (level, text(), text(), option::of(text()), values);
        (hash_set(kebab_case(), 1..5), vec(rest, 5)).prop_map(|(ids, rest)| Contract {
            promises: ids
                .into_iter()
                .zip(rest)
                .map(|(id, (level, says, place, reason, values))| Promise {
                    id,
                    level,
                    says,
                    place,
                    reason,
                    values: values.into_iter().collect(),
                })
                .collect(),
        })
    }

    proptest! {
        /// forall contracts: parse(serialize(contract)) = contract
        #[test]
        fn contracts_round_trip(contract in contract()) {
            let text = serde_saphyr::to_string(&contract).unwrap();
            match promises(&text) {
                Ok(parsed) => prop_assert_eq!(parsed, contract, "{}", text),
                Err(error) => prop_assert!(false, "{error}\n{text}"),
            }
        }

        /// forall contracts: parses(contract) implies schema accepts json(contract)
        #[test]
        fn the_schema_accepts_what_parses(contract in contract()) {
            let json = serde_json::to_value(&contract).unwrap();
            prop_assert!(schema_validator().is_valid(&json), "{json:#}");
        }
    }

    /// The headings of the stack's description, and the harness's own.
    const PLACES: &[&str] = &[
        "Components / Prometheus Stack",
        "Components / Grafana",
        "Components / Jaeger",
        "Components / ELK Stack",
        "Deployment / Prerequisites",
        "Deployment / Installation Steps",
        "Configuration / Prometheus",
        "Configuration / Grafana",
        "Configuration / Jaeger",
        "Configuration / ELK Stack",
        "Access / Internal Access",
        "Access / External Access (via Istio Gateway)",
        "Monitoring Workflows / Service Health Monitoring",
        "Monitoring Workflows / Log Analysis",
        "Monitoring Workflows / Distributed Tracing",
        "Monitoring Workflows / Alert Management",
        "Maintenance / Backup",
        "Maintenance / Scaling",
        "Maintenance / Updates",
        "Troubleshooting / High Memory Usage",
        "Troubleshooting / Missing Metrics",
        "Troubleshooting / Slow Queries",
        "Troubleshooting / Log Ingestion Issues",
        "Security Considerations",
        "Performance Optimization",
        "Integration Points",
        "Harness figures",
    ];

    #[test]
    fn promises_stand_in_the_order_of_the_description_and_leave_no_heading_out() {
        let contract = fixture();
        let mut places: Vec<&str> = contract.promises.iter().map(|p| p.place.as_str()).collect();
        places.dedup();
        assert_eq!(places, PLACES);
    }

    #[test]
    fn what_the_harness_demands_of_itself_does_not_bind_the_stack() {
        for promise in fixture().promises {
            let own = promise.place == "Harness figures";
            assert_eq!(own, promise.id.starts_with("harness-"), "{}", promise.id);
            assert!(!own || promise.level == Level::Should, "{}", promise.id);
        }
    }

    #[test]
    fn every_promise_is_a_sentence() {
        for promise in fixture().promises {
            let says = &promise.says;
            assert!(
                says.starts_with(char::is_uppercase) && says.ends_with('.') && !says.contains('\n'),
                "{}: {says}",
                promise.id
            );
        }
    }

    #[rstest]
    #[case("metrics-retention-time", &[("retention", "duration")])]
    #[case("metrics-storage-size", &[("per-replica", "bytes")])]
    #[case("metrics-scrape-interval-default", &[("interval", "duration"), ("jitter", "duration")])]
    #[case(
        "metrics-scrape-interval-critical",
        &[("interval", "duration"), ("jitter", "duration"), ("services", "texts")]
    )]
    #[case("metrics-recording-rules", &[("minimum", "count")])]
    #[case("metrics-counter-integrity", &[])]
    #[case("metrics-snapshot-period", &[("period", "duration")])]
    #[case("metrics-snapshot-restore", &[])]
    #[case("metrics-rules-loaded", &[])]
    #[case("alerts-rules", &[("minimum", "count")])]
    #[case("alerts-pending-critical", &[("at-most", "duration")])]
    #[case("alerts-pending-warning", &[("at-most", "duration")])]
    #[case("alerts-annotations", &[("required-annotations", "texts"), ("required-labels", "texts")])]
    #[case("alerts-detection", &[("slack", "duration")])]
    #[case("alerts-notification", &[("slack", "duration")])]
    #[case("alerts-resolved", &[("slack", "duration")])]
    #[case(
        "alerts-routing",
        &[
            ("severities", "texts"),
            ("critical-group-wait", "duration"),
            ("critical-repeat", "duration"),
            ("warning-repeat", "duration")
        ]
    )]
    #[case("alerts-grouping", &[("labels", "texts")])]
    #[case("alerts-inhibition", &[])]
    #[case("alerts-silence", &[])]
    #[case("alerts-webhook-retry", &[("retried-within", "duration")])]
    #[case("alerts-loaded", &[])]
    #[case("alerts-liveness", &[("always-firing", "texts")])]
    #[case("alerts-inputs-exposed", &[])]
    #[case("harness-up", &[("at-most", "duration")])]
    #[case("harness-retention-proof", &[("at-most", "duration")])]
    #[case("harness-sampling-proof", &[("at-most", "duration")])]
    #[case("harness-virtual-time", &[("at-most", "duration")])]
    #[case("harness-live-alert", &[("at-most", "duration")])]
    #[case("harness-core-profile", &[("at-most", "duration")])]
    #[case("harness-remote-write", &[("samples-per-second", "count")])]
    #[case("harness-memory", &[("at-most", "bytes")])]
    #[case("harness-cold-run", &[("at-most", "duration")])]
    fn the_contract_has_what_cases_and_the_runner_ask_for(#[case] id: &str, #[case] values: &[(&str, &str)]) {
        let contract = fixture();
        let promise = contract.promise(id).unwrap();
        let found: Vec<(&str, &str)> = promise
            .values
            .iter()
            .map(|(name, v)| (name.as_str(), v.unit()))
            .collect();
        assert_eq!(found, values);
    }

    #[test]
    fn the_schema_in_the_fixtures_is_current() {
        let text = std::fs::read_to_string(fixtures().join("contract.schema.json")).unwrap_or_default();
        let stored = serde_json::from_str(&text).unwrap_or(serde_json::Value::Null);
        assert!(
            stored == Contract::schema(),
            "fixtures/contract.schema.json is not the schema of harness::contract::Contract; \
             regenerate it: cargo conform schema --write"
        );
    }

    #[test]
    fn the_contract_fits_its_schema() {
        let text = std::fs::read_to_string(fixtures().join("contract.yaml")).unwrap();
        let json: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let errors: Vec<String> = schema_validator()
            .iter_errors(&json)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }

    #[rstest]
    #[case::no_promises(r#"{"promises": []}"#)]
    #[case::unknown_field(r#"{"promises": [], "more": 1}"#)]
    #[case::id(r#"{"promises": [{"id": "A_b", "level": "MUST", "says": "x", "place": "y"}]}"#)]
    #[case::level(r#"{"promises": [{"id": "a-b", "level": "must", "says": "x", "place": "y"}]}"#)]
    #[case::missing_place(r#"{"promises": [{"id": "a-b", "level": "MUST", "says": "x"}]}"#)]
    #[case::empty_says(r#"{"promises": [{"id": "a-b", "level": "MUST", "says": "", "place": "y"}]}"#)]
    #[case::no_unit(
        r#"{"promises": [{"id": "a-b", "level": "MUST", "says": "x", "place": "y", "values": {"v": "1d"}}]}"#
    )]
    #[case::unit(r#"{"promises": [{"id": "a-b", "level": "MUST", "says": "x", "place": "y", "values": {"v": {"days": 1}}}]}"#)]
    #[case::duration(r#"{"promises": [{"id": "a-b", "level": "MUST", "says": "x", "place": "y", "values": {"v": {"duration": "1 day"}}}]}"#)]
    #[case::port(r#"{"promises": [{"id": "a-b", "level": "MUST", "says": "x", "place": "y", "values": {"v": {"port": 0}}}]}"#)]
    #[case::value_name(r#"{"promises": [{"id": "a-b", "level": "MUST", "says": "x", "place": "y", "values": {"V v": {"count": 1}}}]}"#)]
    fn the_schema_refuses(#[case] json: &str) {
        let json = serde_json::from_str(json).unwrap();
        assert!(!schema_validator().is_valid(&json));
    }

    #[test]
    fn a_value_is_found_by_promise_name_and_unit() {
        let contract = promises(
            "promises: [{id: a-b, level: MAY, says: x, place: y, values: {
               for: {duration: 1h30m}, size: {bytes: 2KB}, share: {ratio: 10%}, many: {count: 7},
               on: {port: 9090}, name: {text: n}, names: {texts: [n, m]}}}]",
        )
        .unwrap();
        assert_eq!(contract.duration("a-b", "for").unwrap(), Duration::from_mins(90));
        assert_eq!(contract.bytes("a-b", "size").unwrap(), Bytes(2048));
        assert_eq!(contract.ratio("a-b", "share").unwrap(), Ratio(0.1));
        assert_eq!(contract.count("a-b", "many").unwrap(), 7);
        assert_eq!(contract.port("a-b", "on").unwrap(), 9090);
        assert_eq!(contract.text("a-b", "name").unwrap(), "n");
        assert_eq!(contract.texts("a-b", "names").unwrap(), ["n", "m"]);
    }

    #[test]
    fn a_missing_promise_or_value_says_what_there_is() {
        let contract =
            promises("promises: [{id: a-b, level: MAY, says: x, place: y, values: {size: {bytes: 2KB}}}]")
                .unwrap();
        assert_eq!(
            contract.count("a-c", "size").unwrap_err().to_string(),
            "the contract has no promise `a-c`; add it or correct the case that names it"
        );
        assert_eq!(
            contract.count("a-b", "size").unwrap_err().to_string(),
            "promise `a-b` has no count named `size`, it has `size` (bytes); \
             add it or correct the case that asks"
        );
    }

    #[test]
    fn a_contract_that_cannot_be_read_says_how_to_name_another() {
        let error = Contract::load(Path::new("no/such.yaml")).unwrap_err().to_string();
        assert!(error.starts_with("no/such.yaml: "), "{error}");
        assert!(
            error.ends_with("give the contract's path with --contract"),
            "{error}"
        );
    }
}
