//! Bad days: the whole `conform` command against a hostile machine.
//!
//! Each scenario checks three things: the verdict blames the machine and not the stack, the first
//! line names the cause, and nothing is left behind, neither a process nor a file.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "every function here belongs to a test, whose end a panic is"
)]

mod scenarios {
    mod clones;
    mod clusters;
    mod containers;
    mod disk;
    mod emit;
    mod ends;
    mod ground;
    mod input;
    mod pipelines;
    mod ports;
    mod process;
    mod readme;
    mod report;
    mod servers;
    mod slow_disk;
    mod stores;
    mod usage;
    mod wait;
    mod warm;
}
