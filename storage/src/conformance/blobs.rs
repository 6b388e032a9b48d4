//! The index of attachments, and what may be left there.

use std::time::Duration;

use endtoend_protocol::BlobId;

use super::*;
use crate::{Blob, BlobSecretHash, BudgetHash, OpenBlob, Spend};

const BYTES: u64 = 1_000;

fn blob(n: u8) -> Blob {
    let (id, secret_hash) = (BlobId([n; 16]), BlobSecretHash([n; 32]));
    Blob { id, secret_hash, bytes: BYTES, have: 0, expires_at: LATER }
}

/// Ten blobs exhaust the budget.
fn spend(owner: u8) -> Spend {
    Spend { owner: BudgetHash([owner; 32]), cost: Duration::from_secs(10), budget: Duration::from_secs(100) }
}

async fn open(store: &Shared, blob: Blob, owner: u8, now: UnixMillis) -> OpenBlob {
    store.open_blob(blob, spend(owner), now).await.expect("asked")
}

pub(crate) async fn a_blob_is_begun_once_and_gone_on_with(store: Shared) {
    assert_eq!(store.blob(blob(1).id, NOW).await.expect("read"), None);
    // What is there is the store's to say.
    assert_eq!(open(&store, Blob { have: 7, ..blob(1) }, 1, NOW).await, OpenBlob::Open(blob(1)));
    assert!(store.blob_grew(blob(1).id, 0, 400).await.expect("noted"));
    let grown = Blob { have: 400, ..blob(1) };
    assert_eq!(
        open(&store, Blob { expires_at: UnixMillis::new(u64::MAX), ..blob(1) }, 1, NOW).await,
        OpenBlob::Open(grown)
    );
    assert_eq!(store.blob(blob(1).id, NOW).await.expect("read"), Some(grown));
    for other in [Blob { bytes: BYTES + 1, ..blob(1) }, Blob { secret_hash: BlobSecretHash([9; 32]), ..blob(1) }] {
        assert_eq!(open(&store, other, 1, NOW).await, OpenBlob::Taken);
    }
    assert!(store.forget_blob(blob(1).id).await.expect("forgotten"));
    assert!(!store.forget_blob(blob(1).id).await.expect("asked"), "it is gone");
    assert_eq!(store.blob(blob(1).id, NOW).await.expect("read"), None);
}

pub(crate) async fn a_blob_grows_from_where_it_is_and_not_beyond_its_end(store: Shared) {
    open(&store, blob(1), 1, NOW).await;
    open(&store, blob(2), 1, NOW).await;
    let grew = async |from, to| store.blob_grew(blob(1).id, from, to).await.expect("asked");
    assert!(!grew(1, 500).await, "nothing is there");
    assert!(grew(0, 500).await);
    assert!(!grew(0, 500).await, "somebody was first");
    assert!(!grew(500, 499).await, "it does not shrink");
    assert!(!grew(500, BYTES + 1).await, "longer than it is");
    assert!(grew(500, BYTES).await);
    assert!(!store.blob_grew(blob(3).id, 0, 1).await.expect("asked"), "there is none");
    assert_eq!(store.blob(blob(2).id, NOW).await.expect("read"), Some(blob(2)), "the other is as it was");
}

pub(crate) async fn a_blob_that_has_expired_is_found_by_the_sweep_alone(store: Shared) {
    let at = |n, millis| Blob { expires_at: UnixMillis::new(millis), ..blob(n) };
    let (first, second, later) = (at(1, NOW.get() + 1), at(2, NOW.get() + 2), at(3, NOW.get() + 3));
    for blob in [later, second, first] {
        open(&store, blob, 1, NOW).await;
    }
    let now = second.expires_at;
    assert_eq!(store.blob(second.id, now).await.expect("read"), None);
    assert_eq!(store.blob(later.id, now).await.expect("read"), Some(later));
    assert_eq!(open(&store, second, 1, now).await, OpenBlob::Taken, "its parts may be there still");
    assert_eq!(store.expired_blobs(now, 10).await.expect("read"), [first, second]);
    assert_eq!(store.expired_blobs(now, 1).await.expect("read"), [first]);
    assert!(store.forget_blob(second.id).await.expect("forgotten"));
    let anew = Blob { expires_at: LATER, ..second };
    assert_eq!(open(&store, anew, 1, now).await, OpenBlob::Open(anew));
}

pub(crate) async fn a_budget_is_spent_once_for_each_blob_and_comes_back(store: Shared) {
    for n in 1..=10 {
        assert_eq!(open(&store, blob(n), 1, NOW).await, OpenBlob::Open(blob(n)));
        assert_eq!(open(&store, blob(n), 1, NOW).await, OpenBlob::Open(blob(n)), "nothing more is spent");
    }
    let wait = Duration::from_secs(10);
    assert_eq!(open(&store, blob(11), 1, NOW).await, OpenBlob::OverBudget { wait });
    assert_eq!(open(&store, blob(11), 1, NOW).await, OpenBlob::OverBudget { wait }, "a refusal costs nothing");
    assert_eq!(store.blob(blob(11).id, NOW).await.expect("read"), None);
    assert_eq!(open(&store, blob(12), 2, NOW).await, OpenBlob::Open(blob(12)), "another's budget");
    let later = NOW.plus(wait);
    assert_eq!(open(&store, blob(11), 1, later).await, OpenBlob::Open(blob(11)));
    // Larger than all that there ever is.
    let huge = Spend { cost: Duration::from_secs(101), ..spend(3) };
    let refused = store.open_blob(blob(13), huge, NOW).await.expect("asked");
    assert_eq!(refused, OpenBlob::OverBudget { wait: Duration::from_secs(1) });
    // What nobody remembers any more is as good as a full budget.
    assert_eq!(store.forget_full_budgets(NOW).await.expect("forgotten"), 0);
    assert_eq!(store.forget_full_budgets(NOW.plus(wait)).await.expect("forgotten"), 1, "the second one's");
    assert_eq!(store.forget_full_budgets(UnixMillis::new(u64::MAX)).await.expect("forgotten"), 1);
}

pub(crate) async fn a_budget_is_not_overdrawn_by_many_at_once(store: Shared) {
    let mut tasks = JoinSet::new();
    for n in 1..=24 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { open(&store, blob(n), 1, NOW).await });
    }
    let opened = tasks.join_all().await.into_iter().filter(|opened| matches!(opened, OpenBlob::Open(_))).count();
    assert_eq!(opened, 10);
}
