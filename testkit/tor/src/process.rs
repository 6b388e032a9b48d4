//! One `tor`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use endtoend_keeper::{Keeper, Kept, PATIENCE, Place, eventually, find, is_over};

/// It ends obfs4proxy, which is its child, when it ends; the group sees to that also when it was killed.
const TOR: Kept = Kept { name: "tor", start: "\"$4\" -f \"$0/torrc\"", children: true };

/// Around what it says on SIGUSR1 about connections and circuits.
const DUMP_BEGINS: &str = "Dumping stats:";
const DUMP_ENDS: &str = "Done spamming about channels";

/// A `tor` in a directory of its own that can be killed and started again.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    folder: PathBuf,
    keeper: Mutex<Keeper>,
    /// Length of the log when it was started last.
    from: Mutex<usize>,
}

impl Process {
    /// Nothing runs yet.
    pub(crate) fn new(name: &str) -> Self {
        let place = Place::passing("e2e-tor-").expect("a temporary directory");
        let keeper = Keeper::of(&place, TOR, &[program("tor").into_os_string()]).expect("a shell");
        let folder = place.folder().to_owned();
        Self { name: name.to_owned(), folder, keeper: Mutex::new(keeper), from: Mutex::new(0) }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where it keeps its own.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Everything that it has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// What it has said since it was started last.
    pub(crate) fn said(&self) -> String {
        let from = *self.from.lock().unwrap_or_else(PoisonError::into_inner);
        self.log().get(from..).unwrap_or_default().to_owned()
    }

    /// A file of its own; empty when there is none.
    pub(crate) fn file(&self, name: &str) -> String {
        fs::read_to_string(self.data().join(name)).unwrap_or_default()
    }

    /// What it reads when it starts, and when it is told to.
    pub(crate) fn configure(&self, torrc: &str) {
        fs::write(self.folder.join("torrc"), torrc).expect("room for a file");
    }

    pub(crate) fn start(&self) {
        *self.from.lock().unwrap_or_else(PoisonError::into_inner) = self.log().len();
        self.order("start");
    }

    /// Ends it as a crash would. A dead one stays so.
    pub(crate) fn kill(&self) {
        self.order("end");
    }

    /// Reads its configuration again, and forgets that it was to wait.
    pub(crate) fn hang_up(&self) {
        self.order("HUP");
    }

    /// What it says when it is asked for everything that it knows of its connections and circuits; empty when it was killed.
    pub(crate) fn dump(&self) -> String {
        let from = self.log().len();
        // One at a time: of signals that come together it sees one.
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if keeper.order("USR1").expect("the shell lives").is_none() {
            return String::new();
        }
        let mut dumped = None;
        let came = eventually(|| {
            let log = self.log();
            let said = log.get(from..).and_then(|said| said.split_once(DUMP_BEGINS));
            dumped = said.and_then(|(_, said)| said.split_once(DUMP_ENDS)).map(|(said, _)| said.to_owned());
            dumped.is_some()
        });
        assert!(came, "{}: it tells nothing within {PATIENCE:?}: {}", self.name, self.said());
        dumped.unwrap_or_default()
    }

    /// `None` when it was killed.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.order("pid")
    }

    pub(crate) fn bootstrapped(&self) -> bool {
        self.said().contains("Bootstrapped 100%")
    }

    /// Waits until that is so.
    pub(crate) fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let mut ended = false;
        let came = eventually(|| {
            ended = self.pid().is_none_or(is_over);
            holds(self) || ended
        });
        assert!(came && !ended, "{}: no {what} within {PATIENCE:?}: {}", self.name, self.said());
    }

    fn order(&self, order: &str) -> Option<u32> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner).order(order).expect("the shell lives")
    }
}

/// A program that `scripts/setup` has installed. Debian has `tor` where not everybody's `PATH` looks.
pub(crate) fn program(name: &str) -> PathBuf {
    let elsewhere = ["/usr/sbin", "/usr/bin"].map(|folder| Path::new(folder).join(name));
    let found = find(name).or_else(|| elsewhere.into_iter().find(|program| program.is_file()));
    found.unwrap_or_else(|| panic!("there is no {name}: run scripts/setup"))
}
