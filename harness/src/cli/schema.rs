//! `conform schema`: the JSON schemas, made from the types.

use std::fs;

use clap::Args;
use serde_json::Value;

use super::{CliError, Shell, print};
use crate::contract::Contract;
use crate::queries::Queries;
use crate::report;
use crate::verdict::Exit;

#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// Rewrites the schemas under fixtures/ instead of printing them
    #[arg(long)]
    write: bool,
}

fn schemas() -> [(&'static str, Value); 4] {
    [
        ("contract.schema.json", Contract::schema()),
        ("queries.schema.json", Queries::schema()),
        ("report.schema.json", report::schema()),
        ("mutation.schema.json", report::mutation_schema()),
    ]
}

pub(super) fn schema(args: &SchemaArgs, shell: &Shell) -> Result<Exit, CliError> {
    let fixtures = shell.places.root(&shell.built_from)?.join("fixtures");
    for (file, schema) in schemas() {
        let text = format!("{schema:#}\n");
        if args.write {
            let path = fixtures.join(file);
            fs::write(&path, text).map_err(|error| {
                CliError::Environment(format!("{} cannot be written: {error}", path.display()))
            })?;
        } else {
            print(&text);
        }
    }
    Ok(Exit::Success)
}
