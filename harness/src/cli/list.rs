//! `conform list`: the cases, with their mutants when asked for.

use std::fmt::Write;

use clap::Args;

use super::{Shell, print};
use crate::verdict::Exit;

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Shows each case's mutants too
    #[arg(long)]
    mutants: bool,
}

pub(super) fn list(args: &ListArgs, shell: &Shell) -> Exit {
    let mut text = String::new();
    let width = shell
        .cases
        .iter()
        .map(|case| case.id.len())
        .max()
        .unwrap_or_default();
    for case in &shell.cases {
        let _ = writeln!(text, "{:width$}  {:6}  {}", case.id, case.level, case.claim);
        for mutant in args.mutants.then(case.mutants).into_iter().flatten() {
            let _ = writeln!(text, "{:width$}    mutant {}: {}", "", mutant.id, mutant.change);
        }
    }
    print(&text);
    Exit::Success
}
