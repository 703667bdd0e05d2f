//! `conform coverage`: every promise with the cases that check it, made from the cases themselves.

use std::fmt::Write;

use super::{CliError, Shell, print, say};
use crate::verdict::{Exit, Level};

pub(super) fn coverage(shell: &Shell) -> Result<Exit, CliError> {
    let project = shell.project()?;
    let promises = &project.contract.promises;
    let unknown: Vec<String> = shell
        .cases
        .iter()
        .flat_map(|case| case.promises.iter().map(move |promise| (case.id, *promise)))
        .filter(|(_, promise)| !promises.iter().any(|one| one.id == *promise))
        .map(|(case, promise)| format!("case {case} covers `{promise}`, which the contract does not have"))
        .collect();
    let width = promises
        .iter()
        .map(|promise| promise.id.len())
        .max()
        .unwrap_or_default();
    let (mut text, mut checked, mut open_musts) = (String::new(), 0, 0);
    for promise in promises {
        let by: Vec<&str> = shell
            .cases
            .iter()
            .filter(|case| case.promises.contains(&promise.id.as_str()))
            .map(|case| case.id)
            .collect();
        if by.is_empty() {
            open_musts += usize::from(promise.level == Level::Must);
        } else {
            checked += 1;
        }
        let by = if by.is_empty() {
            "no case checks it yet".to_owned()
        } else {
            by.join(", ")
        };
        let _ = writeln!(text, "{:width$}  {:6}  {by}", promise.id, promise.level);
    }
    let _ = writeln!(
        text,
        "\n{checked} of {} promises are checked; {open_musts} MUST promises are not yet",
        promises.len()
    );
    print(&text);
    for line in &unknown {
        say(&format!("conform: {line}"));
    }
    Ok(if unknown.is_empty() {
        Exit::Success
    } else {
        Exit::Failed
    })
}
