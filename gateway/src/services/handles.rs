//! From handles to accounts, without learning the handle.

use endtoend_protocol::{AccountTag, Answer, RefusalCode, limits};

use super::{Answered, Guest, Services};
use crate::limits::{Operation, Subject};

impl Services {
    /// The key that evaluations are verified with.
    pub(crate) fn oprf_key(&self) -> [u8; limits::OPRF_ELEMENT_BYTES] {
        self.secrets.oprf.public().to_bytes()
    }

    /// Evaluates for a stranger: freely within the limit of his address, for work beyond it.
    pub(crate) async fn evaluate_for_guest(
        &self,
        blinded: [u8; limits::OPRF_ELEMENT_BYTES],
        guest: &mut Guest,
    ) -> Answered<Answer> {
        self.admit(Operation::StrangerLookup, guest).await?;
        self.evaluate(blinded)
    }

    /// Evaluates for an account, within its limit.
    pub(crate) async fn evaluate_for(
        &self,
        account: AccountTag,
        blinded: [u8; limits::OPRF_ELEMENT_BYTES],
    ) -> Answered<Answer> {
        self.limits.check(Operation::Lookup, Subject::Account(account)).await?;
        self.evaluate(blinded)
    }

    fn evaluate(&self, blinded: [u8; limits::OPRF_ELEMENT_BYTES]) -> Answered<Answer> {
        let evaluation = self.secrets.oprf.evaluate(&mut rand::rng(), &blinded).map_err(|_| RefusalCode::Invalid)?;
        Ok(Answer::Evaluated { evaluation })
    }
}
