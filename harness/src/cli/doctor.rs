//! `conform doctor`: what is there, what is missing, why, and how to get it; and `conform acquire`.

use clap::Args;

use super::{CliError, Shell, print, say};
use crate::catalog::{cache_folder, doctor as diagnose};
use crate::session::{COMPONENTS, unavailable};
use crate::verdict::Exit;

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn doctor(args: &DoctorArgs, shell: &Shell) -> Result<Exit, CliError> {
    let project = shell.project()?;
    let diagnosis = diagnose::diagnose(&project.catalog, &cache_folder()).await;
    if args.json {
        let text =
            serde_json::to_string_pretty(&diagnosis).map_err(|error| CliError::Environment(error.to_string()))?;
        print(&text);
    } else {
        print(&diagnosis.to_string());
    }
    Ok(if diagnosis.obtainable() { Exit::Success } else { Exit::Environment })
}

pub(super) async fn acquire(shell: &Shell) -> Result<Exit, CliError> {
    let project = shell.project()?;
    let acquired = project.catalog.acquire(&COMPONENTS, &cache_folder(), &shell.progress, &shell.cancel).await;
    for one in acquired.values().flatten() {
        print(&format!("{} {}: {}", one.component, one.version, one.origin));
    }
    let missing = unavailable(&acquired);
    for line in &missing {
        say(&format!("conform: {line}"));
    }
    Ok(if missing.is_empty() { Exit::Success } else { Exit::Environment })
}
