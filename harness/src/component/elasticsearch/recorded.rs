//! Exchanges recorded from real servers: fixtures/recordings, whose README says what is genuine in them.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// The response of the exchange called `name`.
pub(super) fn response<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures/recordings/elasticsearch-8.19.0-lifecycle.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let exchange: Value = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .find(|exchange: &Value| exchange["name"] == name)
        .unwrap();
    serde_json::from_value(exchange["response"].clone()).unwrap()
}
