//! report.json and mutation.json, and the schemas that describe them.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Serialize;

use super::{MutationReport, Report, ReportError};

/// A report as indented JSON, its members in the order of the types, with a line end.
pub(super) fn pretty(report: &impl Serialize) -> Result<String, ReportError> {
    let mut text = serde_json::to_string_pretty(report).map_err(|why| ReportError::Draw(why.to_string()))?;
    text.push('\n');
    Ok(text)
}

/// The JSON schema of report.json, as committed in fixtures/report.schema.json.
#[must_use]
pub fn schema() -> serde_json::Value {
    schema_of::<Report>()
}

/// The JSON schema of mutation.json, as committed in fixtures/mutation.schema.json.
#[must_use]
pub fn mutation_schema() -> serde_json::Value {
    schema_of::<MutationReport>()
}

fn schema_of<T: JsonSchema>() -> serde_json::Value {
    // The schema describes what is written, so optional members that are left out are not required
    // and members with defaults are.
    SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::sample;
    use super::*;
    use rstest::rstest;

    fn committed(name: &str) -> (PathBuf, serde_json::Value) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../fixtures")
            .join(name);
        let value = std::fs::read_to_string(&path)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        (path, value)
    }

    #[rstest]
    #[case("report.schema.json", schema())]
    #[case("mutation.schema.json", mutation_schema())]
    fn the_committed_schema_is_the_generated_one(#[case] name: &str, #[case] generated: serde_json::Value) {
        let (path, committed) = committed(name);
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, pretty(&generated).unwrap()).unwrap();
            return;
        }
        assert!(
            committed == generated,
            "fixtures/{name} does not describe the report any more; regenerate with `cargo conform schema --write`"
        );
    }

    #[rstest]
    #[case::passing(sample::passing())]
    #[case::failing(sample::failing())]
    #[case::empty(sample::empty())]
    fn a_report_fits_its_schema(#[case] report: Report) {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        let value = serde_json::to_value(&report).unwrap();
        let errors: Vec<_> = validator
            .iter_errors(&value)
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert_eq!(errors, Vec::<String>::new());
    }

    #[test]
    fn a_mutation_report_fits_its_schema() {
        let validator = jsonschema::validator_for(&mutation_schema()).unwrap();
        let value = serde_json::to_value(sample::mutation()).unwrap();
        assert!(validator.is_valid(&value));
    }

    #[test]
    fn a_report_reads_back_as_it_was() {
        let report = sample::failing();
        let read: Report = serde_json::from_str(&pretty(&report).unwrap()).unwrap();
        assert_eq!(read, report);
    }

    #[test]
    fn a_member_the_schema_does_not_know_is_refused() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        let mut value = serde_json::to_value(sample::passing()).unwrap();
        value["run"]["colour"] = "blue".into();
        assert!(!validator.is_valid(&value));
    }
}
