//! Attachments as the server has them: sealed bytes that somebody leaves and whoever has been told their name fetches.
//!
//! Whose a blob is, is nowhere: who writes it shows its secret, and what an account may leave is counted under a hash.

use bytes::Bytes;
use endtoend_protocol::{Answer, BlobId, BlobRequest, Refusal, RefusalCode, UnixMillis, limits};
use endtoend_storage::{Blob, BlobSecretHash, OpenBlob, Spend};

use super::{Answered, Login, Services, retry_after, unavailable};
use crate::blobs::{Blobs, kind, part_at};
use crate::limits::{Operation, Subject};

fn gone(error: &object_store::Error) -> Refusal {
    // The whole of it names the object, and so the blob.
    tracing::warn!(why = kind(error), "the object store did not answer");
    tracing::debug!(%error, "the object store did not answer");
    Refusal { retry_after_ms: retry_after(std::time::Duration::from_secs(1)), ..RefusalCode::Unavailable.into() }
}

fn hash(secret: &[u8; limits::BLOB_SECRET_BYTES]) -> BlobSecretHash {
    BlobSecretHash(*blake3::hash(secret).as_bytes())
}

impl Services {
    /// Whatever is asked about blobs. Nothing of it lives in this process: any node can answer the next request.
    pub(crate) async fn blob(&self, login: Login, request: BlobRequest, now: UnixMillis) -> Answered<Answer> {
        let Some(blobs) = &self.blobs else { return Err(RefusalCode::Unsupported.into()) };
        let operation = match request {
            BlobRequest::Open { .. } | BlobRequest::Remove { .. } => Operation::Blob,
            BlobRequest::Put { .. } | BlobRequest::Fetch { .. } => Operation::BlobPart,
        };
        self.limits.check(operation, Subject::Account(login.device.account)).await?;
        match request {
            BlobRequest::Open { blob, bytes, secret_hash } => {
                let secret_hash = BlobSecretHash(secret_hash);
                let expires_at = blobs.policy.expires_at(now);
                self.open_blob(blobs, login, Blob { id: blob, secret_hash, bytes, have: 0, expires_at }, now).await
            }
            BlobRequest::Put { blob, secret, offset, part } => {
                self.put_blob(blobs, self.written_blob(blob, &secret, now).await?, offset, part, now).await
            }
            BlobRequest::Fetch { blob, offset } => self.fetch_blob(blobs, blob, offset, now).await,
            BlobRequest::Remove { blob, secret } => {
                let blob = self.written_blob(blob, &secret, now).await?;
                // The index goes last: what it does not know, nobody would ever remove.
                blobs.remove(blob.id, blob.have).await.map_err(|error| gone(&error))?;
                self.store.forget_blob(blob.id).await.map_err(|error| unavailable(&error))?;
                Ok(Answer::Done)
            }
        }
    }

    async fn open_blob(&self, blobs: &Blobs, login: Login, blob: Blob, now: UnixMillis) -> Answered<Answer> {
        if blob.bytes > blobs.policy.bytes_max {
            return Err(RefusalCode::BlobBudget.into());
        }
        let (cost, budget) = (blobs.policy.cost(blob.bytes), blobs.policy.keep);
        let spend = Spend { owner: self.secrets.budget(login.device.account), cost, budget };
        match self.store.open_blob(blob, spend, now).await.map_err(|error| unavailable(&error))? {
            OpenBlob::Open(blob) => Ok(Answer::BlobHas(blob.have)),
            OpenBlob::Taken => Err(RefusalCode::UnknownBlob.into()),
            OpenBlob::OverBudget { .. } if cost > budget => Err(RefusalCode::BlobBudget.into()),
            OpenBlob::OverBudget { wait } => {
                Err(Refusal { retry_after_ms: retry_after(wait), ..RefusalCode::BlobBudget.into() })
            }
        }
    }

    /// The blob of whoever shows its secret.
    async fn written_blob(
        &self,
        id: BlobId,
        secret: &[u8; limits::BLOB_SECRET_BYTES],
        now: UnixMillis,
    ) -> Answered<Blob> {
        let blob = self.store.blob(id, now).await.map_err(|error| unavailable(&error))?;
        blob.filter(|blob| blob.secret_hash == hash(secret)).ok_or(RefusalCode::UnknownBlob.into())
    }

    /// Takes a part when its turn has come. It is on disk, and then noted; so nothing is noted that is not there.
    async fn put_blob(&self, blobs: &Blobs, blob: Blob, offset: u64, part: Bytes, now: UnixMillis) -> Answered<Answer> {
        let ((number, within), end) = (part_at(offset), offset.saturating_add(part.len() as u64));
        let is_whole = part.len() == limits::BLOB_PART_BYTES_MAX || end == blob.bytes;
        if within != 0 || end > blob.bytes || !is_whole {
            return Err(RefusalCode::Invalid.into());
        }
        if end <= blob.have {
            // A repeat: the answer to the first one was lost.
            return Ok(Answer::BlobHas(blob.have));
        }
        if offset != blob.have {
            return Err(RefusalCode::BlobElsewhere.into());
        }
        blobs.put(blob.id, number, part).await.map_err(|error| gone(&error))?;
        let grew = self.store.blob_grew(blob.id, offset, end).await.map_err(|error| unavailable(&error))?;
        if grew {
            return Ok(Answer::BlobHas(end));
        }
        match self.store.blob(blob.id, now).await.map_err(|error| unavailable(&error))? {
            // The same part came on another connection.
            Some(now) if now.have >= end => Ok(Answer::BlobHas(now.have)),
            Some(_) => Err(RefusalCode::BlobElsewhere.into()),
            None => {
                blobs.remove_part(blob.id, number).await.map_err(|error| gone(&error))?;
                Err(RefusalCode::UnknownBlob.into())
            }
        }
    }

    /// A part of a blob that is there as a whole. Whoever asks has been told its name.
    async fn fetch_blob(&self, blobs: &Blobs, id: BlobId, offset: u64, now: UnixMillis) -> Answered<Answer> {
        let blob = self.store.blob(id, now).await.map_err(|error| unavailable(&error))?;
        let blob = blob.filter(|blob| blob.have == blob.bytes).ok_or(RefusalCode::UnknownBlob)?;
        if offset > blob.bytes {
            return Err(RefusalCode::Invalid.into());
        }
        if offset == blob.bytes {
            return Ok(Answer::BlobPart { bytes: blob.bytes, part: Bytes::new() });
        }
        let (number, within) = part_at(offset);
        let mut part = blobs.part(id, number).await.map_err(|error| gone(&error))?.ok_or_else(|| {
            tracing::error!(blob = ?id, part = number, "the object store has lost a part that the database knows");
            Refusal::from(RefusalCode::UnknownBlob)
        })?;
        if within >= part.len() {
            tracing::error!(blob = ?id, part = number, "the object store has a part that was cut");
            return Err(RefusalCode::UnknownBlob.into());
        }
        Ok(Answer::BlobPart { bytes: blob.bytes, part: part.split_off(within) })
    }
}
