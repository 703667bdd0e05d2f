//! Bad days: the whole `conform` command against a hostile machine.
//!
//! Each scenario checks three things: the verdict blames the machine and not the stack, the first
//! line names the cause, and nothing is left behind, neither a process nor a file.

mod scenarios {
    mod disk;
    mod emit;
    mod ends;
    mod ground;
    mod input;
    mod ports;
    mod process;
    mod readme;
    mod report;
    mod servers;
    mod usage;
    mod wait;
    mod warm;
}
