//! A wrong command line: said at once, with what to write instead.

use harness::verdict::Exit;
use rstest::rstest;

use super::ground::Ground;

#[rstest]
#[case::a_case_that_is_not_there(
    &["run", "--case", "metrics/nope"],
    "there is no case or area `metrics/nope`",
    "cargo conform list"
)]
#[case::half_a_case(
    &["run", "--case", "scrape"],
    "there is no case or area `scrape`",
    "did you mean `metrics/scrape-cadence`?"
)]
#[case::a_case_to_mutate(
    &["mutate", "--case", "metrics/retention"],
    "there is no case or area `metrics/retention`",
    "did you mean `metrics/retention-time`?"
)]
#[case::a_profile_that_is_not_there(
    &["run", "--profile", "nightly"],
    "no case belongs to the profile `nightly`",
    "the profiles are core"
)]
fn a_wrong_name_is_a_usage_error_with_a_hint(
    #[case] arguments: &[&str],
    #[case] cause: &str,
    #[case] hint: &str,
) {
    let ground = Ground::new();
    let ended = ground.run(arguments.iter().copied());
    assert_eq!(ended.code, i32::from(Exit::Usage.code()), "{ended}");
    assert!(ended.verdict_line().starts_with(cause), "{ended}");
    assert!(ended.verdict_line().contains(hint), "{ended}");
    assert!(!ground.report().exists(), "nothing ran, so nothing is reported");
    ground.assert_clean();
}

#[rstest]
#[case::no_command(&[], "Usage:")]
#[case::a_command_that_is_not_there(&["rum"], "unrecognized subcommand 'rum'")]
#[case::an_option_that_is_not_there(&["run", "--sed", "1"], "unexpected argument '--sed'")]
#[case::a_seed_that_is_none(&["run", "--seed", "xyz"], "invalid value 'xyz' for '--seed <HEX>'")]
#[case::two_ways_to_emit(&["emit", "metrics", "--listen", "127.0.0.1:0", "--backfill", "f"], "cannot be used with")]
#[case::no_way_to_emit(&["emit", "metrics"], "--remote-write")]
#[case::an_existing_stack_that_is_not_named(&["run", "--target", "existing"], "give --context, or at least")]
#[case::half_an_existing_stack(&["run", "--target", "existing", "--prometheus", "http://h/"], "--alertmanager")]
#[case::a_context_for_processes(&["run", "--context", "c"], "give them with --target existing")]
#[case::an_image_for_processes(&["run", "--image", "i:1"], "give it with --target containers")]
#[case::containers_to_keep(&["up", "--target", "containers"], "containers go with their run")]
#[case::an_existing_stack_to_break(&["mutate", "--target", "existing"], "is not broken on purpose")]
#[case::an_existing_stack_to_bring_up(&["up", "--target", "existing"], "is up: `conform run --target existing`")]
fn a_wrong_command_line_is_a_usage_error(#[case] arguments: &[&str], #[case] says: &str) {
    let ended = Ground::new().run(arguments.iter().copied());
    assert_eq!(ended.code, i32::from(Exit::Usage.code()), "{ended}");
    assert!(ended.stderr.contains(says) && ended.stdout.is_empty(), "{ended}");
}

#[test]
fn help_is_no_error() {
    let ended = Ground::new().run(["run", "--help"]);
    assert_eq!(ended.code, 0, "{ended}");
    assert!(
        ended.stdout.contains("--case <ID>") && ended.stderr.is_empty(),
        "{ended}"
    );
}
