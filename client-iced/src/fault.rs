//! What is said when the program finds a fault in itself: where, and never what. The words of a panic may be those of a person: the
//! standard library quotes the text that was cut in the wrong place.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, Location};

/// What is said, on standard error: with the way there, which is names of functions, if the environment asks for it.
fn words(at: Option<&Location<'_>>, way: &Backtrace) -> String {
    let place = at.map_or_else(|| "an unknown place".to_owned(), |at| format!("{}:{}", at.file(), at.line()));
    let told = format!("endtoend-desktop: a fault in the program at {place}; please report it");
    match way.status() {
        BacktraceStatus::Captured => format!("{told}\n{way}"),
        _ => told,
    }
}

/// From now on nothing else is said of a panic.
pub fn say_only_where() {
    panic::set_hook(Box::new(|panic| eprintln!("{}", words(panic.location(), &Backtrace::capture()))));
}
