//! A port that someone else takes between its choice and the server's start.
//!
//! The server is the real one behind a script that first lets the test take the port, so that the
//! race, which otherwise comes about by chance, is lost every time.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use super::ground::{Ended, Ground, Running, SHORT, names};
use super::report::assert_environment;
use super::servers::script;
use super::wait::{BOUND, wait};

/// A folder with a `prometheus` that asks for its port to be taken before it starts, and the folder of
/// those requests: one file each, named by the address, to be renamed once that is done.
fn robbed(ground: &Ground) -> (PathBuf, PathBuf) {
    let (folder, requests) = (ground.path().join("robbed"), ground.path().join("requests"));
    for folder in [&folder, &requests] {
        fs::create_dir(folder).expect("a folder can be made");
    }
    let real = super::servers::executable(ground, "prometheus", "prometheus");
    let tool = super::servers::executable(ground, "prometheus", "promtool");
    script(
        &folder.join("prometheus"),
        &format!(
            "for word in \"$@\"; do case \"$word\" in --web.listen-address=*)\n\
             request={requests}/${{word#*=}}; : > \"$request\"\n\
             while test -e \"$request\"; do sleep 0.05; done;; esac; done\n\
             exec {real} \"$@\"",
            requests = requests.display(),
            real = real.display(),
        ),
    );
    std::os::unix::fs::symlink(tool, folder.join("promtool")).expect("a link can be made");
    (folder, requests)
}

/// Takes the ports asked for, `times` at most, lets the others be, and waits for the end of the run.
fn rob(mut running: Running, requests: &Path, times: usize) -> (Ended, Vec<TcpListener>) {
    let mut taken = Vec::new();
    wait("the run ended, ports being taken", BOUND, || {
        for name in names(requests) {
            if taken.len() < times {
                taken
                    .push(TcpListener::bind(&name).expect("a port that is free for a server is free for us"));
            }
            fs::remove_file(requests.join(name)).expect("a file can be removed");
        }
        running.ended().ok_or_else(|| running.says())
    });
    (running.ends(BOUND), taken)
}

#[test]
fn a_port_that_is_taken_in_between_is_replaced_by_another() {
    let ground = Ground::with_servers();
    let (folder, requests) = robbed(&ground);
    let mut conform = ground.conform(["run", "--fresh", "--case", SHORT]);
    conform.env("CONFORM_PROMETHEUS_BIN", &folder);
    let (ended, taken) = rob(ground.start(conform), &requests, 1);
    let port = taken[0].local_addr().expect("it listens").port();
    assert_eq!(ended.code, 0, "{ended}");
    let says = format!(
        "other ports, because port {port} is taken by process {}",
        std::process::id()
    );
    assert!(ended.stderr.contains(&says), "it does not say `{says}`: {ended}");
    ground.assert_clean();
}

#[test]
fn ports_that_are_taken_again_and_again_are_named_with_who_holds_them() {
    let ground = Ground::with_servers();
    let (folder, requests) = robbed(&ground);
    let mut conform = ground.conform(["run", "--fresh", "--case", SHORT]);
    conform.env("CONFORM_PROMETHEUS_BIN", &folder);
    let (ended, taken) = rob(ground.start(conform), &requests, usize::MAX);
    assert!(taken.len() > 1, "it gave up at once: {ended}");
    let last = taken[taken.len() - 1].local_addr().expect("it listens").port();
    let cause = format!("port {last} is taken by process {}", std::process::id());
    assert_environment(&ended, &ground.report(), SHORT, &cause);
    ground.assert_clean();
}
