//! A bucket of something that speaks S3, in place of a directory.
//!
//! It is asked for whole objects by name and nothing else: no listing, no conditions, no copies, no multipart uploads, one DELETE for each
//! object. That much everything does that calls itself S3-compatible.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Place;
use object_store::{BackoffConfig, Certificate, ClientOptions, Error, ObjectStore, ObjectStoreExt as _, RetryConfig};
use rand::RngExt as _;
use zeroize::Zeroizing;

/// One attempt to connect.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// One request, with its part of 192 KiB.
const REQUEST_MAX: Duration = Duration::from_secs(20);
/// All attempts at one request together: the client that waits for it is told to come again after that.
const RETRY_MAX: Duration = Duration::from_secs(20);
const RETRIES_MAX: usize = 3;
/// Longest line in a file with a key, in bytes.
const KEY_BYTES_MAX: usize = 1024;

/// Where a bucket is, as the configuration says it.
#[derive(Clone, Debug)]
pub(crate) struct BucketAt {
    /// `https://host[:port]`.
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
    pub(crate) region: String,
    /// In front of all names of objects, without a slash at its ends; may be empty.
    pub(crate) prefix: String,
    /// `https://bucket.host` rather than `https://host/bucket`.
    pub(crate) virtual_hosts: bool,
    /// The endpoint may be `http://`.
    pub(crate) plain: bool,
    pub(crate) access_key_file: PathBuf,
    pub(crate) secret_key_file: PathBuf,
    /// Who issues the endpoint's certificate; the empty path: whoever the system believes.
    pub(crate) ca_file: PathBuf,
}

/// The bucket is of no use. No text shows what a file says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BucketError {
    #[error("cannot read {}: correct [blobs] {key}", path.display())]
    Read { key: &'static str, path: PathBuf, source: io::Error },
    #[error("{} has no key in its first line: write one, alone in that line, to the file of [blobs] {key}", path.display())]
    NoKey { key: &'static str, path: PathBuf },
    #[error("{} has no certificate in PEM: correct [blobs] s3_ca_file", path.display())]
    Authority { path: PathBuf },
    #[error("[blobs] does not say where a bucket is")]
    Settings(#[source] Box<Error>),
    #[error(
        "there is no bucket {bucket} at {endpoint}: make it, or correct s3_bucket, s3_region and s3_virtual_hosts in [blobs]"
    )]
    Missing { bucket: String, endpoint: String },
    #[error(
        "{endpoint} does not let this node use the bucket {bucket}: correct the files of s3_access_key_file and s3_secret_key_file in [blobs], \
         or let that key put, get and delete objects there"
    )]
    Refused { bucket: String, endpoint: String },
    #[error("{endpoint} does not answer as S3 does ({why}): is it running, and is [blobs] s3_endpoint right?")]
    Away { endpoint: String, why: &'static str },
    #[error("what was put into the bucket {bucket} at {endpoint} does not come back as it was")]
    Changed { bucket: String, endpoint: String },
}

/// What kind of failure it is: what the library says of one names the object, and so a blob.
pub(crate) fn kind(error: &Error) -> &'static str {
    match error {
        Error::NotFound { .. } => "not found",
        Error::PermissionDenied { .. } => "permission denied",
        Error::Unauthenticated { .. } => "not authenticated",
        Error::NotSupported { .. } | Error::NotImplemented { .. } => "not supported",
        Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. } => "a condition",
        Error::InvalidPath { .. } | Error::UnknownConfigurationKey { .. } => "a name",
        _ => "no answer, or one that is none",
    }
}

impl BucketAt {
    /// Reads the files that are named. Connects nowhere.
    pub(super) fn open(&self) -> Result<AmazonS3, BucketError> {
        let access_key = key("s3_access_key_file", &self.access_key_file)?;
        let secret_key = key("s3_secret_key_file", &self.secret_key_file)?;
        let mut options = ClientOptions::new()
            .with_allow_http(self.plain)
            .with_connect_timeout(CONNECT_MAX)
            .with_timeout(REQUEST_MAX);
        for certificate in self.authorities()? {
            // Those alone.
            options = options.with_root_certificate(certificate).with_no_system_certificates(true);
        }
        let retry =
            RetryConfig { backoff: BackoffConfig::default(), max_retries: RETRIES_MAX, retry_timeout: RETRY_MAX };
        AmazonS3Builder::new()
            .with_endpoint(&self.endpoint)
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            .with_virtual_hosted_style_request(self.virtual_hosts)
            .with_access_key_id(access_key.as_str())
            .with_secret_access_key(secret_key.as_str())
            .with_disable_bulk_delete(true)
            .with_client_options(options)
            .with_retry(retry)
            .build()
            .map_err(|error| BucketError::Settings(Box::new(error)))
    }

    fn authorities(&self) -> Result<Vec<Certificate>, BucketError> {
        if self.ca_file.as_os_str().is_empty() {
            return Ok(Vec::new());
        }
        let path = self.ca_file.clone();
        let text = std::fs::read(&path).map_err(|source| BucketError::Read {
            key: "s3_ca_file",
            path: path.clone(),
            source,
        })?;
        match Certificate::from_pem_bundle(&text) {
            Ok(all) if !all.is_empty() => Ok(all),
            _ => Err(BucketError::Authority { path }),
        }
    }

    /// Puts an object there, gets it and removes it: whatever a node will want of the bucket.
    pub(super) async fn check(&self, objects: &dyn ObjectStore) -> Result<(), BucketError> {
        let probe: [u8; 16] = rand::rng().random();
        let place = Place::from(format!("{}probe-{}", self.in_front(), hex::encode(probe)));
        let bytes = Bytes::copy_from_slice(&probe);
        objects.put(&place, bytes.clone().into()).await.map_err(|error| self.failed(&error))?;
        let found = objects.get(&place).await.map_err(|error| self.failed(&error))?;
        let same = found.bytes().await.map_err(|error| self.failed(&error))? == bytes;
        objects.delete(&place).await.map_err(|error| self.failed(&error))?;
        match same {
            true => Ok(()),
            false => Err(BucketError::Changed { bucket: self.bucket.clone(), endpoint: self.endpoint.clone() }),
        }
    }

    fn failed(&self, error: &Error) -> BucketError {
        let (bucket, endpoint) = (self.bucket.clone(), self.endpoint.clone());
        tracing::debug!(%error, "the bucket was tried");
        match error {
            Error::NotFound { .. } => BucketError::Missing { bucket, endpoint },
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => BucketError::Refused { bucket, endpoint },
            error => BucketError::Away { endpoint, why: kind(error) },
        }
    }

    /// What stands in front of each name.
    pub(super) fn in_front(&self) -> String {
        if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) }
    }
}

impl super::Blobs {
    /// In a bucket, which was tried.
    ///
    /// # Errors
    /// See [`BucketError`].
    pub(crate) async fn in_bucket(at: &BucketAt, policy: super::BlobPolicy) -> Result<Self, BucketError> {
        let objects = at.open()?;
        at.check(&objects).await?;
        Ok(Self { objects: Arc::new(objects), in_front: at.in_front(), policy })
    }
}

/// The first line of a file, which is alone in it but for line ends.
fn key(key: &'static str, path: &Path) -> Result<Zeroizing<String>, BucketError> {
    let read = |source| BucketError::Read { key, path: path.to_owned(), source };
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(read)?);
    let line = text.lines().next().unwrap_or_default().trim();
    let good = (1..=KEY_BYTES_MAX).contains(&line.len()) && line.chars().all(|c| c.is_ascii_graphic());
    good.then(|| Zeroizing::new(line.to_owned())).ok_or_else(|| BucketError::NoKey { key, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_reads_says_what_to_do_and_names_no_object() {
        let at = BucketAt {
            endpoint: "https://s3.example.org".to_owned(),
            bucket: "attachments".to_owned(),
            region: "us-east-1".to_owned(),
            prefix: "a/b".to_owned(),
            virtual_hosts: false,
            plain: false,
            access_key_file: PathBuf::new(),
            secret_key_file: PathBuf::new(),
            ca_file: PathBuf::new(),
        };
        let (path, source) = (|| "00/name-of-a-blob".to_owned(), || "name-of-a-blob".into());
        let missing = at.failed(&Error::NotFound { path: path(), source: source() });
        let refused = at.failed(&Error::PermissionDenied { path: path(), source: source() });
        let away = at.failed(&Error::Generic { store: "S3", source: source() });
        assert!(matches!(missing, BucketError::Missing { .. }) && matches!(refused, BucketError::Refused { .. }));
        for (error, key) in [(missing, "s3_bucket"), (refused, "s3_secret_key_file"), (away, "s3_endpoint")] {
            let text = error.to_string();
            assert!(
                text.contains(key) && text.contains("s3.example.org") && !text.contains("name-of-a-blob"),
                "{text}"
            );
        }
        assert_eq!(at.in_front(), "a/b/");
    }
}
