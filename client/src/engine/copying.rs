//! Backups and exports are written beside the engine's work, on a thread and a connection of their own, one at a time.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::command::{Password, Reply};
use super::run::Runner;
use super::told::answer;
use crate::backup::{self, BackupError, Summary};
use crate::clock;
use crate::profile::backup_params;

/// What is to be written.
pub(super) enum Copy {
    /// Everything, sealed under a passphrase.
    Sealed(Password),
    /// People and messages, for anybody to read.
    Plain,
}

/// A file that is being written. Dropping it gives that up and waits for the end, so that nothing is open afterwards.
#[derive(Default)]
pub(super) struct Copying(Option<Writing>);

struct Writing {
    given_up: Arc<AtomicBool>,
    /// Said before whoever asked hears of it, who may ask for the next one at once.
    done: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Copying {
    fn is_under_way(&self) -> bool {
        self.0.as_ref().is_some_and(|writing| !writing.done.load(Ordering::Relaxed) && !writing.thread.is_finished())
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        if let Some(Writing { given_up, thread, .. }) = self.0.take() {
            given_up.store(true, Ordering::Relaxed);
            // One that has panicked has nothing open either.
            let _ended = thread.join();
        }
    }
}

impl Runner {
    pub(super) fn copy(&mut self, path: PathBuf, what: Copy, reply: Reply<Result<Summary, BackupError>>) {
        if self.copying.is_under_way() {
            return answer(reply, Err(BackupError::Busy));
        }
        let mut database = match self.database().second() {
            Ok(database) => database,
            Err(error) => return answer(reply, Err(error.into())),
        };
        let (given_up, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (asked, says) = (Arc::clone(&given_up), Arc::clone(&done));
        let writes = move || {
            let stop = || asked.load(Ordering::Relaxed);
            let written = match what {
                Copy::Plain => backup::export(&mut database, &path, clock::now(), &stop),
                Copy::Sealed(Password(passphrase)) => {
                    let params = backup_params();
                    backup::write(&mut database, &path, passphrase.as_bytes(), params, clock::now(), &stop)
                }
            };
            drop(database);
            says.store(true, Ordering::Relaxed);
            answer(reply, written);
        };
        // Without a thread whoever asked hears that there is no answer.
        if let Ok(thread) = std::thread::Builder::new().name("endtoend-copy".to_owned()).spawn(writes) {
            self.copying = Copying(Some(Writing { given_up, done, thread }));
        }
    }
}
