//! What a process that has a profile holds in memory: it does not get onto a disk when it crashes, and is overwritten before it is given
//! back.

use std::alloc::System;

use rustix::process::{Resource, Rlimit, setrlimit};
use zeroizing_alloc::ZeroAlloc;

/// Texts, names and keys go through many hands (frames, queues, a terminal's line, a window's labels), and not all of them can clear what
/// they held. So all memory of a program that can open a profile is cleared when it is freed, whoever had it. It stands here and not in
/// the programs, so that none can be made without it. SQLite's memory is SQLCipher's affair: see [`crate::database`].
#[global_allocator]
static CLEARS: ZeroAlloc<System> = ZeroAlloc(System);

/// What SQLCipher may keep from swap, in bytes: the place where it has its keys.
const LOCKED_BYTES_MAX: u64 = 64 * 1024;

/// No core is written for this process and those that it starts, whatever was allowed before. Of one byte is none: with a limit of 0
/// Linux still gives it to a program that collects them.
///
/// And but for its keys nothing of SQLite's is kept from swap: SQLCipher would ask for that with each piece of memory that it also clears, which
/// takes as long as clearing them, cuts the heap into thousands of areas, and leaves everything else of this process to the swap.
pub(super) fn stays_in_memory() {
    let limit = |most| Rlimit { current: Some(most), maximum: Some(most) };
    // Where the system does not take them, it is as in any other program.
    let _limited = setrlimit(Resource::Core, limit(1));
    let _limited = setrlimit(Resource::Memlock, limit(LOCKED_BYTES_MAX));
}
