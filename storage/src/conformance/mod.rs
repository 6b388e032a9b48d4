//! What every store must do, whatever it is built on. An implementation runs [`conformance_tests`] over itself.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use endtoend_protocol::{
    AccountTag, Address, DeviceId, DeviceKeys, EnvelopeId, EnvelopeKey, KemPreKey, KeyCounts, NewDevice, OneTimePreKey,
    SignedPreKey, UnixMillis,
};
use tokio::task::JoinSet;

use crate::{
    Append, AppendOutcome, CreateAccountError, Maintenance, NewAccount, Newer, Page, PageLimits, PublishKeysError,
    QueueBatch, QueueStore, Seq, Store, StoreLimits, Tray,
};

/// Small enough to be reached.
pub(crate) const LIMITS: StoreLimits = StoreLimits {
    queue_envelopes_max: 4,
    queue_requests_max: 2,
    one_time_keys_max: 60,
    devices_max: 3,
    relations_max: 3,
    links_max: 2,
};
pub(crate) const NOW: UnixMillis = UnixMillis::new(1_000_000);
const LATER: UnixMillis = UnixMillis::new(2_000_000);
const ALL: PageLimits = PageLimits { rows: 1000, bytes: usize::MAX };
const BEGINNING: Seq = Seq(0);

pub(crate) type Shared = Arc<dyn Store>;

/// Makes a test of each rule; `$open` gives an empty store with [`LIMITS`] and whatever must outlive it.
macro_rules! conformance_tests {
    ($open:path) => {
        $crate::conformance::conformance_tests!(
            $open:
            an_account_is_created_once,
            what_was_registered_is_found,
            an_unknown_account_has_nothing,
            a_one_time_key_is_handed_out_once,
            one_time_keys_are_taken_oldest_first,
            a_published_key_id_keeps_its_first_key,
            signed_keys_are_replaced,
            signed_keys_are_replaced_all_at_once_or_not_at_all,
            keys_beyond_the_limit_are_refused_whole,
            keys_of_unknown_devices_are_refused,
            a_queue_keeps_its_order,
            queues_of_devices_are_apart,
            a_repeat_gets_the_first_place,
            a_full_queue_refuses_until_something_is_deleted,
            a_repeat_in_a_full_queue_is_still_a_repeat,
            an_unknown_device_hinders_no_other,
            deletions_come_before_appends,
            deleting_a_gone_row_is_harmless,
            a_device_deletes_only_its_own_rows,
            an_expired_row_is_not_loaded,
            a_repeat_of_an_expired_row_renews_it,
            a_sweep_makes_room,
            a_sweep_is_bounded,
            a_page_ends_at_its_rows,
            a_page_ends_at_its_bytes,
            a_page_has_at_least_one_row,
            what_is_newer_is_found_for_each_device_that_has_any,
            concurrent_commits_keep_every_row,
            a_changed_password_replaces_the_record_and_forgets_the_backup,
            a_deleted_account_takes_everything_along,
            accounts_are_listed_by_their_tags,
            an_invitation_is_good_for_exactly_its_uses,
            devices_have_new_numbers_and_a_list_that_has_a_version,
            a_removed_device_takes_its_keys_queue_and_tokens_along,
            nobody_hears_of_a_device_that_waits,
            a_meeting_lets_one_device_in_and_only_with_its_secret,
            a_family_is_swapped_by_one_of_many,
            a_device_has_one_family_and_an_account_can_end_all,
            a_relation_is_the_owners_and_there_are_only_so_many,
            strangers_fill_only_their_tray,
            the_audit_keeps_its_order_and_its_chain_whoever_writes,
            a_pruned_audit_is_still_a_chain,
            a_one_time_key_has_one_of_64_takers,
            a_blob_is_begun_once_and_gone_on_with,
            a_blob_grows_from_where_it_is_and_not_beyond_its_end,
            a_blob_that_has_expired_is_found_by_the_sweep_alone,
            a_budget_is_spent_once_for_each_blob_and_comes_back,
            a_budget_is_not_overdrawn_by_many_at_once,
        );
    };
    ($open:path: $($rule:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let (store, _kept) = $open().await;
                $crate::conformance::$rule(std::sync::Arc::new(store)).await;
            }
        )+
    };
}
pub(crate) use conformance_tests;

mod accounts;
mod blobs;
pub(crate) use accounts::*;
pub(crate) use blobs::*;

// --- material ---

pub(crate) fn address(account: u8) -> Address {
    Address { account: AccountTag::new([account; 32]), device: DeviceId::FIRST }
}

pub(crate) fn envelope(n: u64) -> EnvelopeId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    EnvelopeId::new(NOW, random)
}

pub(crate) fn append(to: u8, n: u64) -> Append {
    Append {
        to: address(to),
        tray: Tray::Contacts,
        id: envelope(n),
        body: Bytes::from(format!("body {n}")),
        accepted_at: NOW,
        expires_at: LATER,
    }
}

pub(crate) fn appends(appends: Vec<Append>) -> QueueBatch {
    QueueBatch { deletes: Vec::new(), appends }
}

pub(crate) fn deletes(deletes: Vec<(Address, Seq)>) -> QueueBatch {
    QueueBatch { deletes, appends: Vec::new() }
}

pub(crate) fn one_time(id: u32) -> OneTimePreKey {
    OneTimePreKey { id, public: [id as u8; 33] }
}

pub(crate) fn kem(id: u32) -> KemPreKey {
    KemPreKey { id, public: Bytes::from(vec![id as u8; 1569]), signature: [id as u8; 64] }
}

fn signed(id: u32) -> SignedPreKey {
    SignedPreKey { id, public: [id as u8; 33], signature: [id as u8; 64] }
}

fn envelope_key(id: u32) -> EnvelopeKey {
    let ml_kem = Bytes::from(vec![id as u8; 1568]);
    EnvelopeKey { id, x25519: [id as u8; 32], ml_kem, signature: [id as u8; 64] }
}

const LAST_RESORT: u32 = 9_000;

pub(crate) fn account(n: u8, one_time_keys: u32) -> NewAccount {
    NewAccount {
        tag: address(n).account,
        opaque_record: Bytes::from(vec![n; 100]),
        device: NewDevice {
            device_key: Bytes::from(vec![n; 2624]),
            registration_id: u32::MAX,
            identity_key: [n; 33],
            signed_pre_key: signed(1),
            last_resort_kem_pre_key: kem(LAST_RESORT),
            envelope_key: envelope_key(1),
            one_time_pre_keys: (1..=one_time_keys).map(one_time).collect(),
            one_time_kem_pre_keys: (1..=one_time_keys).map(kem).collect(),
        },
        invite: None,
        created_at: NOW,
    }
}

async fn with_account(store: &Shared, n: u8) {
    store.create_account(account(n, 0)).await.expect("created");
}

pub(crate) async fn load(store: &(impl QueueStore + ?Sized), of: u8) -> Page {
    store.load(address(of), BEGINNING, ALL, NOW).await.expect("loaded")
}

fn ids(page: &Page) -> Vec<EnvelopeId> {
    page.rows.iter().map(|row| row.id).collect()
}

fn envelopes(numbers: impl IntoIterator<Item = u64>) -> Vec<EnvelopeId> {
    numbers.into_iter().map(envelope).collect()
}

async fn commit(store: &Shared, batch: QueueBatch) -> Vec<AppendOutcome> {
    store.commit(batch).await.expect("committed")
}

/// Commits one envelope that is expected to be stored.
async fn stored(store: &Shared, append: Append) -> Seq {
    match commit(store, appends(vec![append])).await[..] {
        [AppendOutcome::Stored(seq)] => seq,
        ref other => panic!("{other:?}"),
    }
}

// --- accounts ---

pub(crate) async fn an_account_is_created_once(store: Shared) {
    let mut tasks = JoinSet::new();
    for n in 0..32_u8 {
        let store = Arc::clone(&store);
        let mut new = account(1, 3);
        new.opaque_record = Bytes::from(vec![n]);
        tasks.spawn(async move { (n, store.create_account(new).await) });
    }
    let mut winners = Vec::new();
    while let Some(done) = tasks.join_next().await {
        match done.expect("joined") {
            (n, Ok(())) => winners.push(n),
            (_, Err(CreateAccountError::Exists)) => {}
            (_, Err(other)) => panic!("{other}"),
        }
    }
    assert_eq!(winners.len(), 1);
    let record = store.opaque_record(address(1).account).await.expect("read");
    assert_eq!(record, Some(Bytes::from(winners)));
    assert_eq!(store.key_counts(address(1)).await.expect("read"), KeyCounts { one_time: 3, one_time_kem: 3 });
}

pub(crate) async fn what_was_registered_is_found(store: Shared) {
    let new = account(1, 1);
    store.create_account(new.clone()).await.expect("created");
    assert_eq!(store.opaque_record(new.tag).await.expect("read"), Some(new.opaque_record));
    assert_eq!(
        store.device(address(1)).await.expect("read").map(|device| device.device_key),
        Some(new.device.device_key)
    );
    let identity = store.identity(new.tag).await.expect("read").expect("found");
    assert_eq!(identity.identity_key, new.device.identity_key);
    assert_eq!(identity.envelope_keys, [(DeviceId::FIRST, new.device.envelope_key.clone())]);
    let bundles = store.take_bundles(new.tag).await.expect("taken").expect("found");
    assert_eq!(bundles.identity_key, new.device.identity_key);
    let [bundle] = &bundles.devices[..] else { panic!("one device") };
    assert_eq!(bundle.device, DeviceId::FIRST);
    assert_eq!(bundle.registration_id, new.device.registration_id);
    assert_eq!(bundle.signed_pre_key, new.device.signed_pre_key);
    assert_eq!(bundle.envelope_key, new.device.envelope_key);
    assert_eq!(bundle.one_time_pre_key, Some(one_time(1)));
    assert_eq!(bundle.kem_pre_key, kem(1));
}

pub(crate) async fn an_unknown_account_has_nothing(store: Shared) {
    let nobody = address(9);
    assert_eq!(store.opaque_record(nobody.account).await.expect("read"), None);
    assert_eq!(store.device(nobody).await.expect("read").map(|device| device.device_key), None);
    assert_eq!(store.key_counts(nobody).await.expect("read"), KeyCounts::default());
    assert_eq!(store.identity(nobody.account).await.expect("read"), None);
    assert_eq!(store.take_bundles(nobody.account).await.expect("read"), None);
    assert!(load(&*store, 9).await.rows.is_empty());
}

pub(crate) async fn a_one_time_key_is_handed_out_once(store: Shared) {
    const KEYS: u32 = 50;
    const TAKERS: u32 = 64;
    store.create_account(account(1, KEYS)).await.expect("created");
    let mut tasks = JoinSet::new();
    for _ in 0..TAKERS {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.take_bundles(address(1).account).await.expect("taken").expect("found") });
    }
    let (mut curve, mut ml_kem, mut last_resort) = (HashSet::new(), HashSet::new(), 0);
    while let Some(bundles) = tasks.join_next().await {
        for bundle in bundles.expect("joined").devices {
            if let Some(key) = bundle.one_time_pre_key {
                assert!(curve.insert(key.id), "handed out twice");
            }
            if bundle.kem_pre_key.id == LAST_RESORT {
                last_resort += 1;
            } else {
                assert!(ml_kem.insert(bundle.kem_pre_key.id), "handed out twice");
            }
        }
    }
    assert_eq!((curve.len(), ml_kem.len()), (KEYS as usize, KEYS as usize));
    assert_eq!(last_resort, TAKERS - KEYS);
    assert_eq!(store.key_counts(address(1)).await.expect("read"), KeyCounts::default());
}

pub(crate) async fn one_time_keys_are_taken_oldest_first(store: Shared) {
    store.create_account(account(1, 0)).await.expect("created");
    for id in [7, 3, 5] {
        let one_time_pre_keys = vec![one_time(id)];
        let one_time_kem_pre_keys = vec![kem(id)];
        let keys = DeviceKeys { one_time_pre_keys, one_time_kem_pre_keys, ..DeviceKeys::default() };
        store.publish_keys(address(1), keys).await.expect("published");
    }
    for id in [7, 3, 5] {
        let bundles = store.take_bundles(address(1).account).await.expect("taken").expect("found");
        assert_eq!(bundles.devices[0].one_time_pre_key, Some(one_time(id)));
        assert_eq!(bundles.devices[0].kem_pre_key, kem(id));
    }
}

pub(crate) async fn a_published_key_id_keeps_its_first_key(store: Shared) {
    store.create_account(account(1, 1)).await.expect("created");
    let other = OneTimePreKey { id: 1, public: [99; 33] };
    let keys = DeviceKeys { one_time_pre_keys: vec![other, one_time(2)], ..DeviceKeys::default() };
    let counts = store.publish_keys(address(1), keys).await.expect("published");
    assert_eq!(counts, KeyCounts { one_time: 2, one_time_kem: 1 });
    let bundles = store.take_bundles(address(1).account).await.expect("taken").expect("found");
    assert_eq!(bundles.devices[0].one_time_pre_key, Some(one_time(1)));
}

pub(crate) async fn signed_keys_are_replaced(store: Shared) {
    with_account(&store, 1).await;
    let keys = DeviceKeys {
        signed_pre_key: Some(signed(2)),
        last_resort_kem_pre_key: Some(kem(LAST_RESORT + 1)),
        envelope_key: Some(envelope_key(2)),
        ..DeviceKeys::default()
    };
    store.publish_keys(address(1), keys).await.expect("published");
    let bundle = &store.take_bundles(address(1).account).await.expect("taken").expect("found").devices[0];
    assert_eq!(bundle.signed_pre_key, signed(2));
    assert_eq!(bundle.kem_pre_key, kem(LAST_RESORT + 1));
    assert_eq!(bundle.envelope_key, envelope_key(2));
}

pub(crate) async fn signed_keys_are_replaced_all_at_once_or_not_at_all(store: Shared) {
    const ROUNDS: u32 = 40;
    store.create_account(account(1, 0)).await.expect("created");
    let set = |n: u32| DeviceKeys {
        signed_pre_key: Some(signed(n)),
        last_resort_kem_pre_key: Some(kem(LAST_RESORT + n)),
        envelope_key: Some(envelope_key(n)),
        ..DeviceKeys::default()
    };
    store.publish_keys(address(1), set(2)).await.expect("published");
    let writer = Arc::clone(&store);
    let writing = tokio::spawn(async move {
        for n in 3..ROUNDS {
            writer.publish_keys(address(1), set(n)).await.expect("published");
        }
    });
    for _ in 0..ROUNDS {
        let bundle = &store.take_bundles(address(1).account).await.expect("taken").expect("found").devices[0];
        let n = bundle.signed_pre_key.id;
        let seen = (&bundle.signed_pre_key, &bundle.kem_pre_key, &bundle.envelope_key);
        assert_eq!(seen, (&signed(n), &kem(LAST_RESORT + n), &envelope_key(n)), "of one upload");
    }
    writing.await.expect("joined");
    // Beside too many one-time keys none of the three is replaced, for whoever asks.
    let refused = DeviceKeys { one_time_pre_keys: (1..=61).map(one_time).collect(), ..set(ROUNDS) };
    let refused = store.publish_keys(address(1), refused).await;
    assert!(matches!(refused, Err(PublishKeysError::TooMany)), "{refused:?}");
    let bundle = &store.take_bundles(address(1).account).await.expect("taken").expect("found").devices[0];
    let last = ROUNDS - 1;
    let seen = (&bundle.signed_pre_key, &bundle.kem_pre_key, &bundle.envelope_key);
    assert_eq!(seen, (&signed(last), &kem(LAST_RESORT + last), &envelope_key(last)));
    let identity = store.identity(address(1).account).await.expect("read").expect("found");
    assert_eq!(identity.envelope_keys, [(address(1).device, envelope_key(last))]);
    // The same set once more, because its answer was lost.
    store.publish_keys(address(1), set(last)).await.expect("published");
    let bundle = &store.take_bundles(address(1).account).await.expect("taken").expect("found").devices[0];
    assert_eq!(bundle.signed_pre_key, signed(last));
}

pub(crate) async fn keys_beyond_the_limit_are_refused_whole(store: Shared) {
    store.create_account(account(1, 50)).await.expect("created");
    let publish = |one_time_pre_keys| {
        let keys = DeviceKeys { signed_pre_key: Some(signed(2)), one_time_pre_keys, ..DeviceKeys::default() };
        store.publish_keys(address(1), keys)
    };
    let refused = publish((51..=61).map(one_time).collect()).await;
    assert!(matches!(refused, Err(PublishKeysError::TooMany)), "{refused:?}");
    let counts = store.key_counts(address(1)).await.expect("read");
    assert_eq!(counts, KeyCounts { one_time: 50, one_time_kem: 50 });
    let bundles = store.take_bundles(address(1).account).await.expect("taken").expect("found");
    assert_eq!(bundles.devices[0].signed_pre_key, signed(1));
    // One was just taken, so eleven fit.
    let counts = publish((51..=61).map(one_time).collect()).await.expect("published");
    assert_eq!(counts.one_time, 60);
}

pub(crate) async fn keys_of_unknown_devices_are_refused(store: Shared) {
    with_account(&store, 1).await;
    let other = Address { device: DeviceId::new(2).expect("a number"), ..address(1) };
    for unknown in [address(2), other] {
        let refused = store.publish_keys(unknown, DeviceKeys::default()).await;
        assert!(matches!(refused, Err(PublishKeysError::UnknownDevice)), "{refused:?}");
    }
}

// --- queue ---

/// Of those that wait for any device. A store of its own beside the rules, because only an operator asks.
pub(crate) async fn the_oldest_is_known(store: &(impl Store + Maintenance)) {
    let oldest = async || store.oldest_accepted_at().await.expect("read");
    assert_eq!(oldest().await, None);
    for n in [1, 2] {
        store.create_account(account(n, 0)).await.expect("created");
    }
    let at = |append: Append, ms| Append { accepted_at: UnixMillis::new(ms), ..append };
    let batch = appends(vec![at(append(2, 5), 500), at(append(1, 6), 600), at(append(2, 7), 700)]);
    let outcomes = store.commit(batch).await.expect("committed");
    assert_eq!(oldest().await, Some(UnixMillis::new(500)));
    assert_eq!(store.stats().await.expect("counted").oldest_accepted_at, oldest().await);
    let [AppendOutcome::Stored(first), AppendOutcome::Stored(second), AppendOutcome::Stored(third)] = outcomes[..]
    else {
        panic!("{outcomes:?}")
    };
    store.commit(deletes(vec![(address(2), first), (address(2), third)])).await.expect("committed");
    assert_eq!(oldest().await, Some(UnixMillis::new(600)), "another device's");
    store.commit(deletes(vec![(address(1), second)])).await.expect("committed");
    assert_eq!(oldest().await, None);
}

pub(crate) async fn a_queue_keeps_its_order(store: Shared) {
    with_account(&store, 1).await;
    // Ids that fall while the places rise: it is acceptance that counts.
    commit(&store, appends(vec![append(1, 40), append(1, 30)])).await;
    commit(&store, appends(vec![append(1, 20)])).await;
    let page = load(&*store, 1).await;
    assert_eq!(ids(&page), envelopes([40, 30, 20]));
    assert!(page.rows.is_sorted_by(|a, b| a.seq < b.seq));
    assert!(!page.more);
    assert_eq!(page.rows[0].body, append(1, 40).body);
    assert_eq!(page.rows[0].accepted_at, NOW);
    let rest = store.load(address(1), page.rows[0].seq, ALL, NOW).await.expect("loaded");
    assert_eq!(ids(&rest), envelopes([30, 20]));
}

pub(crate) async fn queues_of_devices_are_apart(store: Shared) {
    with_account(&store, 1).await;
    with_account(&store, 2).await;
    // The same id for two devices is two envelopes.
    let outcomes = commit(&store, appends(vec![append(1, 1), append(2, 1), append(2, 2)])).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, AppendOutcome::Stored(_))), "{outcomes:?}");
    assert_eq!(ids(&load(&*store, 1).await), envelopes([1]));
    assert_eq!(ids(&load(&*store, 2).await), envelopes([1, 2]));
}

pub(crate) async fn a_repeat_gets_the_first_place(store: Shared) {
    with_account(&store, 1).await;
    let seq = stored(&store, append(1, 1)).await;
    let mut other_body = append(1, 1);
    other_body.body = Bytes::from_static(b"other");
    let outcomes = commit(&store, appends(vec![other_body, append(1, 2), append(1, 2)])).await;
    let [AppendOutcome::Repeat(first), AppendOutcome::Stored(second), AppendOutcome::Repeat(again)] = outcomes[..]
    else {
        panic!("{outcomes:?}")
    };
    assert_eq!((first, again), (seq, second));
    let page = load(&*store, 1).await;
    assert_eq!(ids(&page), envelopes([1, 2]));
    assert_eq!(page.rows[0].body, append(1, 1).body);
}

pub(crate) async fn a_full_queue_refuses_until_something_is_deleted(store: Shared) {
    with_account(&store, 1).await;
    let outcomes = commit(&store, appends((1..=6).map(|n| append(1, n)).collect())).await;
    let [AppendOutcome::Stored(first), .., AppendOutcome::Full, AppendOutcome::Full] = outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(ids(&load(&*store, 1).await), envelopes(1..=4));
    commit(&store, deletes(vec![(address(1), first)])).await;
    let outcomes = commit(&store, appends(vec![append(1, 5), append(1, 6)])).await;
    assert!(matches!(outcomes[..], [AppendOutcome::Stored(_), AppendOutcome::Full]), "{outcomes:?}");
    assert_eq!(ids(&load(&*store, 1).await), envelopes(2..=5));
}

pub(crate) async fn a_repeat_in_a_full_queue_is_still_a_repeat(store: Shared) {
    with_account(&store, 1).await;
    let outcomes = commit(&store, appends((1..=5).chain([1]).map(|n| append(1, n)).collect())).await;
    let [AppendOutcome::Stored(first), .., AppendOutcome::Full, AppendOutcome::Repeat(again)] = outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(first, again);
}

pub(crate) async fn an_unknown_device_hinders_no_other(store: Shared) {
    with_account(&store, 1).await;
    let outcomes = commit(&store, appends(vec![append(1, 1), append(9, 2), append(1, 3)])).await;
    let expected = [true, false, true];
    assert_eq!(outcomes.iter().map(|o| matches!(o, AppendOutcome::Stored(_))).collect::<Vec<_>>(), expected);
    assert_eq!(outcomes[1], AppendOutcome::UnknownDevice);
    assert_eq!(ids(&load(&*store, 1).await), envelopes([1, 3]));
}

pub(crate) async fn deletions_come_before_appends(store: Shared) {
    with_account(&store, 1).await;
    let full = commit(&store, appends((1..=4).map(|n| append(1, n)).collect())).await;
    let AppendOutcome::Stored(first) = full[0] else { panic!("{full:?}") };
    let batch = QueueBatch { deletes: vec![(address(1), first)], appends: vec![append(1, 1)] };
    let outcomes = commit(&store, batch).await;
    let [AppendOutcome::Stored(again)] = outcomes[..] else { panic!("{outcomes:?}") };
    assert!(again > first, "a place is never used twice");
    assert_eq!(ids(&load(&*store, 1).await), envelopes([2, 3, 4, 1]));
}

pub(crate) async fn deleting_a_gone_row_is_harmless(store: Shared) {
    with_account(&store, 1).await;
    let seq = stored(&store, append(1, 1)).await;
    stored(&store, append(1, 2)).await;
    let gone = (address(1), seq);
    commit(&store, deletes(vec![gone, gone, (address(1), Seq(i64::MAX)), (address(9), seq)])).await;
    commit(&store, deletes(vec![gone])).await;
    assert_eq!(ids(&load(&*store, 1).await), envelopes([2]));
    // The depth went down once: three more fit, a fourth does not.
    let outcomes = commit(&store, appends((3..=6).map(|n| append(1, n)).collect())).await;
    assert!(matches!(outcomes[..], [.., AppendOutcome::Stored(_), AppendOutcome::Full]), "{outcomes:?}");
}

pub(crate) async fn a_device_deletes_only_its_own_rows(store: Shared) {
    with_account(&store, 1).await;
    with_account(&store, 2).await;
    let seq = stored(&store, append(1, 1)).await;
    commit(&store, deletes(vec![(address(2), seq)])).await;
    assert_eq!(ids(&load(&*store, 1).await), envelopes([1]));
}

fn expiring(n: u64, at: u64) -> Append {
    Append { expires_at: UnixMillis::new(at), ..append(1, n) }
}

pub(crate) async fn an_expired_row_is_not_loaded(store: Shared) {
    with_account(&store, 1).await;
    let now = NOW.get();
    commit(&store, appends(vec![expiring(1, now), expiring(2, u64::MAX), expiring(3, now - 1), expiring(4, now + 1)]))
        .await;
    assert_eq!(ids(&load(&*store, 1).await), envelopes([2, 4]));
}

/// Otherwise its sender would be told that it is safe, and nobody would ever load it.
pub(crate) async fn a_repeat_of_an_expired_row_renews_it(store: Shared) {
    with_account(&store, 1).await;
    let expired = commit(&store, appends(vec![expiring(1, NOW.get()), append(1, 2)])).await;
    let AppendOutcome::Stored(first) = expired[0] else { panic!("{expired:?}") };
    assert_eq!(ids(&load(&*store, 1).await), envelopes([2]));
    let at = UnixMillis::new(NOW.get() + 1);
    let again = Append { accepted_at: at, ..append(1, 1) };
    assert_eq!(commit(&store, appends(vec![again])).await, [AppendOutcome::Repeat(first)]);
    let page = load(&*store, 1).await;
    assert_eq!(ids(&page), envelopes([1, 2]));
    let times = |page: &Page| page.rows.iter().map(|row| row.accepted_at).collect::<Vec<_>>();
    assert_eq!(times(&page), [at, NOW], "its end counts from the repeat");
    let earlier = UnixMillis::new(NOW.get() - 1);
    commit(&store, appends(vec![Append { accepted_at: earlier, ..expiring(2, NOW.get()) }])).await;
    let page = load(&*store, 1).await;
    assert_eq!(ids(&page), envelopes([1, 2]), "a repeat takes nothing away");
    assert_eq!(times(&page), [at, NOW]);
    // Twice in one batch, of a row that is there and of one that is not: the later time counts, wherever it stands.
    let after = |ms| UnixMillis::new(NOW.get() + ms);
    let told = |n, ms| Append { accepted_at: after(ms), ..expiring(n, NOW.get() + 10 + ms) };
    commit(&store, appends(vec![told(1, 3), told(3, 4), told(3, 6), told(1, 2), told(3, 5)])).await;
    let page = load(&*store, 1).await;
    assert_eq!((ids(&page), times(&page)), (envelopes([1, 2, 3]), vec![after(3), NOW, after(6)]));
}

pub(crate) async fn a_sweep_makes_room(store: Shared) {
    with_account(&store, 1).await;
    let now = NOW.get();
    commit(&store, appends(vec![expiring(1, now - 1), expiring(2, now - 1), append(1, 3), append(1, 4)])).await;
    assert_eq!(commit(&store, appends(vec![append(1, 5)])).await, [AppendOutcome::Full]);
    assert_eq!(store.delete_expired(NOW, 100).await.expect("swept"), 2);
    assert_eq!(store.delete_expired(NOW, 100).await.expect("swept"), 0);
    let outcomes = commit(&store, appends(vec![append(1, 5), append(1, 6), append(1, 7)])).await;
    assert!(
        matches!(outcomes[..], [AppendOutcome::Stored(_), AppendOutcome::Stored(_), AppendOutcome::Full]),
        "{outcomes:?}"
    );
    assert_eq!(ids(&load(&*store, 1).await), envelopes(3..=6));
}

pub(crate) async fn a_sweep_is_bounded(store: Shared) {
    with_account(&store, 1).await;
    commit(&store, appends((1..=3).map(|n| expiring(n, NOW.get() - n)).collect())).await;
    for expected in [2, 1, 0] {
        assert_eq!(store.delete_expired(NOW, 2).await.expect("swept"), expected);
    }
}

async fn page(store: &Shared, after: Seq, rows: u32, bytes: usize) -> Page {
    store.load(address(1), after, PageLimits { rows, bytes }, NOW).await.expect("loaded")
}

pub(crate) async fn a_page_ends_at_its_rows(store: Shared) {
    with_account(&store, 1).await;
    commit(&store, appends((1..=4).map(|n| append(1, n)).collect())).await;
    let first = page(&store, BEGINNING, 3, usize::MAX).await;
    assert_eq!((ids(&first), first.more), (envelopes(1..=3), true));
    let second = page(&store, first.rows[2].seq, 3, usize::MAX).await;
    assert_eq!((ids(&second), second.more), (envelopes([4]), false));
    let exact = page(&store, BEGINNING, 4, usize::MAX).await;
    assert_eq!((ids(&exact), exact.more), (envelopes(1..=4), false));
}

pub(crate) async fn a_page_ends_at_its_bytes(store: Shared) {
    with_account(&store, 1).await;
    let sized = |n, bytes| Append { body: Bytes::from(vec![n as u8; bytes]), ..append(1, n) };
    commit(&store, appends(vec![sized(1, 60_000), sized(2, 40_000), sized(3, 1)])).await;
    let first = page(&store, BEGINNING, 10, 100_000).await;
    assert_eq!((ids(&first), first.more), (envelopes([1, 2]), true));
    assert_eq!(first.rows[0].body, vec![1_u8; 60_000]);
    let short = page(&store, BEGINNING, 10, 99_999).await;
    assert_eq!((ids(&short), short.more), (envelopes([1]), true));
}

pub(crate) async fn what_is_newer_is_found_for_each_device_that_has_any(store: Shared) {
    for n in 1..=3 {
        with_account(&store, n).await;
    }
    let mut of_one = Vec::new();
    for n in 1..=3 {
        of_one.push(stored(&store, append(1, n)).await);
        stored(&store, append(2, n)).await;
    }
    let [first, second, third] = of_one[..] else { panic!("{of_one:?}") };
    let newer = async |after: &[(u8, Seq)]| {
        let after: Vec<_> = after.iter().map(|(n, seq)| (address(*n), *seq)).collect();
        let mut found = store.newer(&after).await.expect("read");
        found.sort_by_key(|newer| newer.last);
        found
    };
    let of = |n, last| Newer { to: address(n), last };
    assert_eq!(newer(&[(1, BEGINNING)]).await, [of(1, third)]);
    assert_eq!(newer(&[(1, first)]).await, [of(1, third)]);
    assert_eq!(newer(&[(1, third), (2, Seq(third.0 - 1)), (3, BEGINNING), (9, BEGINNING)]).await.len(), 1);
    assert_eq!(newer(&[]).await, []);
    commit(&store, deletes(vec![(address(1), second), (address(1), third)])).await;
    assert_eq!(newer(&[(1, BEGINNING)]).await, [of(1, first)]);
    assert_eq!(newer(&[(1, first)]).await, []);
}

pub(crate) async fn a_page_has_at_least_one_row(store: Shared) {
    with_account(&store, 1).await;
    commit(&store, appends(vec![append(1, 1), append(1, 2)])).await;
    for (rows, bytes) in [(0, usize::MAX), (10, 0), (0, 0)] {
        let first = page(&store, BEGINNING, rows, bytes).await;
        assert_eq!((ids(&first), first.more), (envelopes([1]), true));
    }
    assert!(!page(&store, Seq(i64::MAX), 10, 10).await.more);
}

pub(crate) async fn concurrent_commits_keep_every_row(store: Shared) {
    let mut tasks = JoinSet::new();
    for n in 1..=16 {
        with_account(&store, n).await;
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for id in 1..=4 {
                stored(&store, append(n, id)).await;
                // Every commit that returned is seen.
                assert_eq!(ids(&load(&*store, n).await), envelopes(1..=id));
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("joined");
    }
}
