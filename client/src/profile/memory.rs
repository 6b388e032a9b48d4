//! What a process that has a profile holds in memory does not get onto a disk when it crashes.

use rustix::process::{Resource, Rlimit, setrlimit};

/// No core is written for this process and those that it starts, whatever was allowed before. Of one byte is none: with a limit of 0
/// Linux still gives it to a program that collects them.
pub(super) fn stays_in_memory() {
    let least = Rlimit { current: Some(1), maximum: Some(1) };
    // Where the system does not take it, it is as in any other program.
    let _limited = setrlimit(Resource::Core, least);
}
