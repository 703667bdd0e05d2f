//! The `conform` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::cli::main(suites::cases(), suites::root())
}
