//! `[blobs]`: attachments.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use endtoend_protocol::limits;
use serde::{Deserialize, Serialize};

use crate::blobs::{BlobPolicy, BucketAt, Kept};

const MIB: u64 = 1024 * 1024;
/// The longest that the protocol knows, in MiB.
const SIZE_MIB_MAX: u16 = (limits::BLOB_BYTES_MAX / MIB) as u16;
/// Nobody leaves more than a PiB.
const BUDGET_MIB_MAX: u32 = 1024 * 1024 * 1024;
const KEEP_DAYS_MAX: u16 = 366;
/// Below the data directory.
const DIRECTORY: &str = "blobs";
/// What those who have no regions take.
const REGION: &str = "us-east-1";
const PREFIX_BYTES_MAX: usize = 256;

/// `[blobs]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlobsConfig {
    /// Directory for attachments, the same one for all nodes of a cluster. Default none, which is the empty path: `blobs` in the
    /// data directory, unless `s3_bucket` names another place. Change: restart, after what is there was moved.
    pub directory: PathBuf,
    /// Bucket for attachments of something that speaks S3, in place of a directory. Default none, which is the empty text. Change:
    /// restart, after what is there was moved.
    pub s3_bucket: String,
    /// Where it is, as `https://host[:port]`. Default none, which is the empty text. Change: restart.
    pub s3_endpoint: String,
    /// Its region. Default `us-east-1`, which those take who have none. Change: restart.
    pub s3_region: String,
    /// What the names of all objects begin with, so that a bucket may have others. Default none, which is the empty text. Change: restart,
    /// after what is there was moved.
    pub s3_prefix: String,
    /// File with the access key in its first line. Default none, which is the empty path. Change: restart.
    pub s3_access_key_file: PathBuf,
    /// File with the secret key in its first line. Default none, which is the empty path. Change: restart.
    pub s3_secret_key_file: PathBuf,
    /// File with the certificates, in PEM, of who issues the endpoint's. Default none, which is the empty path: the system's. Change: restart.
    pub s3_ca_file: PathBuf,
    /// The bucket is a name in front of the endpoint's, and not a path behind it. Default false. Change: restart.
    pub s3_virtual_hosts: bool,
    /// The endpoint may be `http://` on another machine. Default false. Change: restart.
    pub s3_plain: bool,
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
        Self {
            directory: PathBuf::new(),
            s3_bucket: String::new(),
            s3_endpoint: String::new(),
            s3_region: REGION.to_owned(),
            s3_prefix: String::new(),
            s3_access_key_file: PathBuf::new(),
            s3_secret_key_file: PathBuf::new(),
            s3_ca_file: PathBuf::new(),
            s3_virtual_hosts: false,
            s3_plain: false,
            size_mib_max: SIZE_MIB_MAX,
            budget_mib: 10 * 1024,
            keep_days: 30,
        }
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
    pub(crate) fn kept(&self, data: &Path) -> Kept {
        if self.s3_bucket.is_empty() {
            let own = self.directory.as_os_str().is_empty();
            return Kept::Directory(if own { data.join(DIRECTORY) } else { self.directory.clone() });
        }
        Kept::Bucket(BucketAt {
            endpoint: self.s3_endpoint.trim_end_matches('/').to_owned(),
            bucket: self.s3_bucket.clone(),
            region: self.s3_region.clone(),
            prefix: self.s3_prefix.trim_matches('/').to_owned(),
            virtual_hosts: self.s3_virtual_hosts,
            plain: self.is_plain(),
            access_key_file: self.s3_access_key_file.clone(),
            secret_key_file: self.s3_secret_key_file.clone(),
            ca_file: self.s3_ca_file.clone(),
        })
    }

    /// What stands behind `http://` or `https://`, up to the path.
    fn host(&self) -> Option<(bool, &str)> {
        let plain = self.s3_endpoint.strip_prefix("http://").map(|rest| (true, rest));
        let (plain, rest) = plain.or_else(|| self.s3_endpoint.strip_prefix("https://").map(|rest| (false, rest)))?;
        let host = rest.trim_end_matches('/');
        let good = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
        good.then_some((plain, host))
    }

    fn is_plain(&self) -> bool {
        self.host().is_some_and(|(plain, _)| plain)
    }

    /// Whether nobody but this machine sees what is said to the endpoint.
    fn stays_here(&self) -> bool {
        let Some((_, host)) = self.host() else { return false };
        let address =
            host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(host, _)| host);
        let address = address.trim_start_matches('[').trim_end_matches(']');
        address == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    fn broken_bucket_rules(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut broken = Vec::new();
        let mut rule = |holds: bool, name, text: &str, hint| {
            if !holds {
                broken.push((name, text.to_owned(), hint));
            }
        };
        let empty = |path: &Path| path.as_os_str().is_empty();
        let bucket = "it says more about a bucket: name one in `s3_bucket`, or leave this out";
        if self.s3_bucket.is_empty() {
            let others = [
                ("s3_endpoint", !self.s3_endpoint.is_empty()),
                ("s3_region", self.s3_region != REGION),
                ("s3_prefix", !self.s3_prefix.is_empty()),
                ("s3_access_key_file", !empty(&self.s3_access_key_file)),
                ("s3_secret_key_file", !empty(&self.s3_secret_key_file)),
                ("s3_ca_file", !empty(&self.s3_ca_file)),
                ("s3_virtual_hosts", self.s3_virtual_hosts),
                ("s3_plain", self.s3_plain),
            ];
            for (name, is_set) in others {
                rule(!is_set, name, "has no use here", bucket);
            }
            return broken;
        }
        rule(
            empty(&self.directory),
            "directory",
            "names a second place for attachments",
            "keep one of `directory` and `s3_bucket`",
        );
        let named = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
        rule(
            named(&self.s3_bucket),
            "s3_bucket",
            "is no name of a bucket",
            "write it like \"attachments\", without the endpoint",
        );
        rule(
            self.host().is_some(),
            "s3_endpoint",
            "must say where the bucket is",
            "write it like \"https://s3.example.org\", without the bucket",
        );
        rule(
            !self.is_plain() || self.stays_here() || self.s3_plain,
            "s3_endpoint",
            "is without TLS, and on another machine",
            "write https://, or set `s3_plain = true` where only this node and the bucket see what is said",
        );
        rule(
            !self.s3_region.is_empty() && named(&self.s3_region),
            "s3_region",
            "is no region",
            "the default is \"us-east-1\", which those take who have none",
        );
        let prefix = self.s3_prefix.len() <= PREFIX_BYTES_MAX && self.s3_prefix.split('/').all(named);
        rule(prefix, "s3_prefix", "is no beginning of a name", "write it like \"endtoend\" or \"a/b\"");
        for (name, path) in
            [("s3_access_key_file", &self.s3_access_key_file), ("s3_secret_key_file", &self.s3_secret_key_file)]
        {
            rule(!empty(path), name, "must name a file", "it has the key in its first line, which stands nowhere else");
        }
        broken
    }

    /// What is wrong, by key.
    pub(super) fn broken_rules(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut broken = self.broken_bucket_rules();
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
