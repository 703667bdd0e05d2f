//! stub
use super::*;
use clap::Args;
#[derive(Debug, Args)]
pub(super) struct UpArgs {}
#[derive(Debug, Args)]
pub(super) struct NameArgs {}
#[derive(Debug, Args)]
pub(super) struct StatusArgs {}
#[derive(Debug, Args)]
pub(super) struct KeepArgs {}
pub(super) async fn up(_: UpArgs, _: &Shell) -> Result<Exit, CliError> {
    todo!()
}
pub(super) async fn down(_: &NameArgs) -> Result<Exit, CliError> {
    todo!()
}
pub(super) fn status(_: &StatusArgs) -> Result<Exit, CliError> {
    todo!()
}
pub(super) async fn keep(_: KeepArgs, _: &Shell) -> Result<Exit, CliError> {
    todo!()
}
