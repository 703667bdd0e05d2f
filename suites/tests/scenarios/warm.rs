//! Stacks that stay warm, and runs side by side.

use harness::verdict::Exit;
use rustix::process::Signal;

use super::ground::{Ended, Ground, LONG, SHORT};
use super::process;
use super::report::{assert_environment, case, read};
use super::wait::{BOUND, wait};

/// A ground whose warm stacks are taken down with it.
struct Warm(Ground);

impl Drop for Warm {
    fn drop(&mut self) {
        // A scenario that failed must leave no keeper behind either.
        for found in process::of(self.0.path()) {
            process::try_signal_to(found.pid, Signal::KILL);
        }
    }
}

impl Warm {
    fn new() -> Self {
        Self(Ground::with_servers())
    }

    /// Runs `conform` with what it keeps for itself on the ground too, servers excepted.
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Ended {
        self.0.run(arguments.iter().copied())
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended}");
        ended
    }

    /// The keeper's process id, as `status` says.
    #[track_caller]
    fn keeper(&self, name: &str) -> i32 {
        let status = self.ok(&["status", "--name", name]);
        let (_, rest) = status
            .stdout
            .split_once("keeper ")
            .expect("status names the keeper");
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("the keeper is a process id")
    }
}

#[test]
fn a_warm_stack_is_used_by_runs_and_taken_down_whole() {
    let warm = Warm::new();
    assert!(
        warm.ok(&["status"]).stdout.contains("no warm stack runs"),
        "nothing runs yet"
    );
    let up = warm.ok(&["up", "--case", "metrics", "--case", "alerts"]);
    assert!(up.stdout.starts_with("default: up for "), "{up}");
    assert!(
        up.stdout.contains("prometheus") && up.stdout.contains("http://127.0.0.1:"),
        "{up}"
    );

    let again = warm.run(&["up", "--case", "metrics", "--case", "alerts"]);
    assert_eq!(again.code, i32::from(Exit::Environment.code()), "{again}");
    let keeper = warm.keeper("default");
    assert!(
        again
            .verdict_line()
            .contains(&format!("runs already (keeper {keeper}")),
        "{again}"
    );

    let ran = warm.run(&["run", "--case", SHORT]);
    assert!(
        ran.stderr
            .contains("the warm stack of `conform up` fits and is used"),
        "{ran}"
    );
    let report = read(&warm.0.report());
    assert_eq!(case(&report, SHORT).verdict.name(), "pass", "{ran}");
    assert_eq!(
        warm.keeper("default"),
        keeper,
        "a run leaves the warm stack as it was"
    );

    assert!(warm.ok(&["down"]).stdout.contains("taken down"), "it ran");
    warm.0.assert_clean();
    assert!(
        warm.ok(&["down"])
            .stdout
            .contains("no warm stack of that name runs"),
        "it is gone"
    );
}

#[test]
fn warm_stacks_of_two_names_live_and_end_apart() {
    let warm = Warm::new();
    for name in ["one", "two"] {
        warm.ok(&["up", "--name", name, "--case", "metrics"]);
    }
    let (one, two) = (warm.keeper("one"), warm.keeper("two"));
    assert_ne!(one, two);
    warm.ok(&["down", "--name", "one"]);
    let status = warm.ok(&["status"]);
    assert!(
        !status.stdout.contains("one: ") && status.stdout.contains("two: up for "),
        "{status}"
    );
    assert_eq!(warm.keeper("two"), two);
    warm.ok(&["down", "--name", "two"]);
    warm.0.assert_clean();
}

#[test]
fn a_killed_keeper_takes_its_servers_with_it_is_said_to_be_dead_and_makes_way() {
    let warm = Warm::new();
    warm.ok(&["up", "--case", "metrics", "--case", "alerts"]);
    let keeper = warm.keeper("default");
    process::signal_to(keeper, Signal::KILL);
    wait("the keeper and its servers gone", BOUND, || {
        match process::of(&warm.0.runs()) {
            none if none.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        }
    });
    let status = warm.run(&["status"]);
    assert_eq!(status.code, i32::from(Exit::Environment.code()), "{status}");
    assert!(
        status.stdout.contains(&format!("its keeper {keeper} was killed")),
        "{status}"
    );

    warm.ok(&["up", "--case", "metrics", "--case", "alerts"]);
    assert_ne!(warm.keeper("default"), keeper);
    warm.ok(&["down"]);
    warm.0.assert_clean();
}

#[test]
fn a_warm_stack_that_goes_during_a_run_is_the_cause_of_what_the_run_saw() {
    let warm = Warm::new();
    warm.ok(&["up", "--case", "metrics", "--case", "alerts"]);
    let mut running = warm.0.start(warm.0.conform(["run", "--case", LONG]));
    running.said("watching scrapes");
    process::signal_to(warm.keeper("default"), Signal::KILL);
    let ended = running.ends(BOUND);
    assert_environment(&ended, &warm.0.report(), LONG, "the warm stack's keeper");
    warm.run(&["down"]);
    warm.0.assert_clean();
}

#[test]
fn runs_side_by_side_do_not_disturb_each_other() {
    let ground = Ground::with_servers();
    let names = ["one", "two", "three"];
    let running =
        names.map(|name| ground.start(ground.conform(["run", "--fresh", "--case", SHORT, "--report", name])));
    for (name, running) in names.into_iter().zip(running) {
        let ended = running.ends(BOUND * 2);
        let report = read(&ground.path().join("work").join(name));
        assert_eq!(case(&report, SHORT).verdict.name(), "pass", "{ended}");
    }
    ground.assert_clean();
}
