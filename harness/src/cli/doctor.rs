//! `conform doctor`: what is there, what is missing, why, and how to get it; and `conform acquire`.

use std::fmt::Write;

use clap::Args;

use super::{CliError, Shell, kind, print, say};
use crate::catalog::{DoctorLine, DoctorState, cache_folder};
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
    let cache = cache_folder();
    let (mut lines, clusters) = tokio::join!(project.catalog.doctor(&cache, &shell.cancel), kind::examine());
    lines.extend(clusters);
    if args.json {
        let text =
            serde_json::to_string_pretty(&lines).map_err(|error| CliError::Environment(error.to_string()))?;
        print(&text);
    } else {
        print(&table(&lines));
    }
    let unavailable = lines.iter().any(|line| line.state == DoctorState::Unavailable);
    Ok(if unavailable {
        Exit::Environment
    } else {
        Exit::Success
    })
}

/// Aligned lines; what is passed over and what to do about it stand below.
fn table(lines: &[DoctorLine]) -> String {
    let width = lines
        .iter()
        .map(|line| line.subject.len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for line in lines {
        let version = line
            .version
            .as_deref()
            .map(|version| format!("{version}  "))
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "{:11}  {:width$}  {version}{}",
            line.state.name(),
            line.subject,
            line.says
        );
        for tried in &line.tried {
            let _ = writeln!(text, "{:11}  {:width$}  passed over: {tried}", "", "");
        }
        if let Some(remedy) = &line.remedy {
            let _ = writeln!(text, "{:11}  {:width$}  remedy: {remedy}", "", "");
        }
    }
    text
}

#[derive(Debug, Args)]
pub(super) struct AcquireArgs {
    /// Components to obtain, by their names in the catalog [default: all of a stack]
    #[arg(value_name = "COMPONENT")]
    components: Vec<String>,
}

pub(super) async fn acquire(args: &AcquireArgs, shell: &Shell) -> Result<Exit, CliError> {
    let project = shell.project()?;
    let named: Vec<&str> = args.components.iter().map(String::as_str).collect();
    let wanted = if named.is_empty() { &COMPONENTS[..] } else { &named };
    let acquired = shell.acquire(&project, wanted).await;
    for one in acquired.values().flatten() {
        print(&format!("{} {}: {}", one.component, one.version, one.origin));
    }
    let missing = unavailable(&acquired);
    for line in &missing {
        say(&format!("conform: {line}"));
    }
    Ok(if missing.is_empty() {
        Exit::Success
    } else {
        Exit::Environment
    })
}
