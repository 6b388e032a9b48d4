//! `[blobs]`: attachments.

use std::path::{Path, PathBuf};
use std::time::Duration;

use endtoend_protocol::limits;
use serde::{Deserialize, Serialize};

use crate::blobs::BlobPolicy;

const MIB: u64 = 1024 * 1024;
/// The longest that the protocol knows, in MiB.
const SIZE_MIB_MAX: u16 = (limits::BLOB_BYTES_MAX / MIB) as u16;
/// Nobody leaves more than a PiB.
const BUDGET_MIB_MAX: u32 = 1024 * 1024 * 1024;
const KEEP_DAYS_MAX: u16 = 366;
/// Below the data directory.
const DIRECTORY: &str = "blobs";

/// `[blobs]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlobsConfig {
    /// Directory for attachments, the same one for all nodes of a cluster. Default none, which is the empty path: `blobs` in the
    /// data directory. Change: restart, after what is there was moved.
    pub directory: PathBuf,
    /// Longest attachment in MiB. Default and at most 2064, which is 2 GiB with its seals; 0 takes none. Change: restart.
    pub size_mib_max: u16,
    /// What one account may leave within `keep_days`, in MiB. Default 10240. Change: restart.
    pub budget_mib: u32,
    /// Days that an attachment stays. Default 30, which is how long an envelope waits; at most 366. Change: restart, for
    /// attachments to come.
    pub keep_days: u16,
}

impl Default for BlobsConfig {
    fn default() -> Self {
        Self { directory: PathBuf::new(), size_mib_max: SIZE_MIB_MAX, budget_mib: 10 * 1024, keep_days: 30 }
    }
}

impl BlobsConfig {
    /// What may be left; `None` for nothing.
    pub(crate) fn policy(&self) -> Option<BlobPolicy> {
        (self.size_mib_max > 0).then(|| BlobPolicy {
            bytes_max: u64::from(self.size_mib_max) * MIB,
            budget_mib: self.budget_mib.into(),
            keep: Duration::from_secs(u64::from(self.keep_days) * 24 * 3600),
        })
    }

    /// Where attachments are.
    pub(crate) fn directory(&self, data: &Path) -> PathBuf {
        if self.directory.as_os_str().is_empty() { data.join(DIRECTORY) } else { self.directory.clone() }
    }

    /// What is wrong, by key.
    pub(super) fn broken_rules(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut broken = Vec::new();
        if self.size_mib_max > SIZE_MIB_MAX {
            broken.push((
                "size_mib_max",
                format!("must be at most {SIZE_MIB_MAX}"),
                "no client sends more; 0 takes none",
            ));
        }
        if !(1..=BUDGET_MIB_MAX).contains(&self.budget_mib) {
            let text = format!("must be 1 to {BUDGET_MIB_MAX}");
            broken.push(("budget_mib", text, "set size_mib_max = 0 to take no attachments"));
        }
        if !(1..=KEEP_DAYS_MAX).contains(&self.keep_days) {
            let text = format!("must be 1 to {KEEP_DAYS_MAX}");
            broken.push(("keep_days", text, "an envelope waits for 30 days, and what it names should"));
        }
        broken
    }
}
