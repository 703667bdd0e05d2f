//! A run that is interrupted: what was found is written down, and nothing is left behind.

use rstest::rstest;
use rustix::process::Signal;

use super::ground::{Ground, LONG};
use super::process;
use super::report::{assert_environment, case, read};
use super::servers::in_the_middle;
use super::wait::BOUND;

#[rstest]
#[case::ctrl_c(Signal::INT)]
#[case::terminated(Signal::TERM)]
fn an_interrupted_run_is_reported_as_interrupted(#[case] signal: Signal) {
    let ground = Ground::with_servers();
    let running = in_the_middle(&ground);
    assert!(
        process::of(&ground.runs()).len() >= 2,
        "the servers are found where their end is looked for"
    );
    process::signal_to(running.pid(), signal);
    let ended = running.ends(BOUND);
    let reason = assert_environment(&ended, &ground.report(), LONG, "interrupted");
    assert!(reason.contains("it was at: watching scrapes"), "{reason}");
    let report = read(&ground.report());
    assert_eq!(report.profiles[0].name, "core");
    assert!(case(&report, LONG).replay.contains(&report.run.seed.to_string()));
    ground.assert_clean();
}

#[test]
fn a_second_ctrl_c_ends_at_once_and_leaves_no_process() {
    let ground = Ground::with_servers();
    let mut running = in_the_middle(&ground);
    process::signal_to(running.pid(), Signal::INT);
    running.said("once more to end at once");
    // It may have ended by itself in between, which is as good.
    process::try_signal_to(running.pid(), Signal::INT);
    let ended = running.ends(BOUND);
    assert_eq!(ended.code, 3, "{ended}");
    process::gone(ground.path());
}
