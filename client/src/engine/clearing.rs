//! Room on this disk: files that were fetched go from it, and are offered again.

use super::run::Runner;
use crate::database::{DatabaseError, FileState};

impl Runner {
    /// Takes the files that others have sent from this disk, and says how many bytes that were. Whoever wants one again fetches it,
    /// as long as the server has it. Files of this account's own stay: nobody else may have them any more.
    pub(super) fn clear_files(&mut self) -> Result<u64, DatabaseError> {
        let seqs = self.profile.database().read().fetched_files()?;
        let mut freed = 0_u64;
        for seq in seqs {
            let Some(kept) = self.profile.database().read().file(seq)? else { continue };
            let path = self.files.spool.path(kept.local);
            let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
            // Offered before it is gone: a crash in between leaves a file that nothing misses.
            self.file_is(&kept, FileState::Offered)?;
            if self.files.spool.remove(kept.local).is_ok() {
                freed = freed.saturating_add(bytes);
            }
        }
        Ok(freed)
    }
}
