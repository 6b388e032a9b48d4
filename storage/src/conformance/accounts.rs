//! Accounts, devices, tokens, invitations, relations, meetings of devices, audit.

use std::time::Duration;

use super::*;
use crate::{
    AddDevice, AddDeviceError, AuditEntry, AuditKey, AuditQuery, AuditVerdict, Family, FamilyId, Invite, InviteHash,
    LinkAnswer, LinkId, PeerHash, Relation, verify_audit,
};

fn tag(n: u8) -> AccountTag {
    address(n).account
}

fn device(account: u8, number: u32) -> Address {
    Address { account: tag(account), device: DeviceId::new(number).expect("a number") }
}

fn another_device(n: u8, link: Option<(LinkId, [u8; 32])>) -> AddDevice {
    let device = account(n, 3).device;
    AddDevice { account: tag(n), device, added_at: NOW, active_at: NOW, link }
}

fn family(n: u8, of: Address) -> Family {
    Family {
        id: FamilyId([n; 16]),
        device: of,
        generation: 0,
        token_hash: [n; 32],
        previous_hash: None,
        created_at: NOW,
        refreshed_at: NOW,
        expires_at: LATER,
    }
}

// --- accounts ---

pub(crate) async fn a_changed_password_replaces_the_record_and_forgets_the_backup(store: Shared) {
    store.create_account(account(1, 0)).await.expect("created");
    assert!(store.set_backup(tag(1), Some(Bytes::from_static(b"sealed"))).await.expect("kept"));
    assert_eq!(store.backup(tag(1)).await.expect("read").as_deref(), Some(&b"sealed"[..]));
    assert!(store.set_opaque_record(tag(1), Bytes::from_static(b"another")).await.expect("changed"));
    assert_eq!(store.opaque_record(tag(1)).await.expect("read").as_deref(), Some(&b"another"[..]));
    assert_eq!(store.backup(tag(1)).await.expect("read"), None, "the old password sealed it");
    assert!(!store.set_opaque_record(tag(2), Bytes::from_static(b"nobody's")).await.expect("asked"));
    assert!(!store.set_backup(tag(2), None).await.expect("asked"));
}

pub(crate) async fn a_deleted_account_takes_everything_along(store: Shared) {
    for n in [1, 2] {
        store.create_account(account(n, 5)).await.expect("created");
        assert!(store.put_family(family(n, address(n))).await.expect("kept"));
        assert!(store.set_relation(tag(n), PeerHash([7; 32]), Some(Relation::Blocked)).await.expect("kept"));
    }
    store.commit(appends(vec![append(1, 1), append(2, 2)])).await.expect("committed");
    assert!(store.delete_account(tag(1)).await.expect("deleted"));
    assert!(!store.delete_account(tag(1)).await.expect("asked"), "it is gone");
    assert!(store.take_bundles(tag(1)).await.expect("read").is_none());
    assert_eq!(store.opaque_record(tag(1)).await.expect("read"), None);
    assert_eq!(store.family(FamilyId([1; 16])).await.expect("read"), None);
    assert_eq!(store.standing(tag(1), PeerHash([7; 32])).await.expect("read"), None);
    assert!(store.devices(tag(1)).await.expect("read").0.is_empty());
    // The other has what it had, and the tag is free.
    assert!(store.family(FamilyId([2; 16])).await.expect("read").is_some());
    assert_eq!(load(&*store, 2).await.rows.len(), 1);
    store.create_account(account(1, 0)).await.expect("created anew");
    assert_eq!(load(&*store, 1).await.rows.len(), 0);
}

pub(crate) async fn accounts_are_listed_by_their_tags(store: Shared) {
    for n in [3, 1, 2] {
        store.create_account(account(n, 0)).await.expect("created");
    }
    store.commit(appends(vec![append(2, 1)])).await.expect("committed");
    assert!(store.set_disabled(tag(2), Some(NOW)).await.expect("disabled"));
    let listed = store.accounts(&[], None, 10).await.expect("listed");
    assert_eq!(listed.iter().map(|account| account.tag).collect::<Vec<_>>(), [tag(1), tag(2), tag(3)]);
    assert_eq!((listed[1].disabled_at, listed[1].devices, listed[1].queued), (Some(NOW), 1, 1));
    assert!(store.device(address(2)).await.expect("read").expect("found").disabled);
    assert!(store.set_disabled(tag(2), None).await.expect("enabled"));
    assert_eq!(store.account(tag(2)).await.expect("read").expect("found").disabled_at, None);
    let after = store.accounts(&[], Some(tag(1)), 1).await.expect("listed");
    assert_eq!(after.iter().map(|account| account.tag).collect::<Vec<_>>(), [tag(2)]);
    let prefix = store.accounts(&[3, 3], None, 10).await.expect("listed");
    assert_eq!(prefix.iter().map(|account| account.tag).collect::<Vec<_>>(), [tag(3)]);
    assert_eq!(store.account(tag(9)).await.expect("read"), None);
}

pub(crate) async fn an_invitation_is_good_for_exactly_its_uses(store: Shared) {
    let hash = InviteHash([5; 32]);
    let invite = Invite { hash, note: String::new(), uses_max: 5, uses_left: 5, created_at: NOW, expires_at: LATER };
    store.put_invite(invite.clone()).await.expect("kept");
    let mut registrations = JoinSet::new();
    for n in 1..=64 {
        let store = Arc::clone(&store);
        let new = NewAccount { invite: Some(hash), ..account(n, 0) };
        registrations.spawn(async move { store.create_account(new).await });
    }
    let (mut created, mut refused) = (0, 0);
    while let Some(registered) = registrations.join_next().await {
        match registered.expect("joined") {
            Ok(()) => created += 1,
            Err(CreateAccountError::Invite) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((created, refused), (5, 59));
    assert_eq!(store.accounts(&[], None, 100).await.expect("listed").len(), 5, "who is refused leaves nothing");
    assert_eq!(store.invites(NOW).await.expect("listed")[0].uses_left, 0);

    let late = InviteHash([6; 32]);
    store.put_invite(Invite { hash: late, expires_at: NOW, ..invite.clone() }).await.expect("kept");
    for (n, invite) in [(100, late), (101, InviteHash([9; 32]))] {
        let refused = store.create_account(NewAccount { invite: Some(invite), ..account(n, 0) }).await;
        assert!(matches!(refused, Err(CreateAccountError::Invite)), "{refused:?}");
    }
    // A taken tag uses nothing up.
    let taken = store.accounts(&[], None, 1).await.expect("listed")[0].tag.as_bytes()[0];
    let third = InviteHash([7; 32]);
    store.put_invite(Invite { hash: third, uses_max: 1, uses_left: 1, ..invite }).await.expect("kept");
    let refused = store.create_account(NewAccount { invite: Some(third), ..account(taken, 0) }).await;
    assert!(matches!(refused, Err(CreateAccountError::Exists)), "{refused:?}");
    store.create_account(NewAccount { invite: Some(third), ..account(200, 0) }).await.expect("created");
    assert!(store.remove_invite(third).await.expect("revoked"));
    assert!(!store.remove_invite(third).await.expect("asked"));
    assert_eq!(store.remove_expired_invites(LATER).await.expect("swept"), 2);
}

// --- devices ---

pub(crate) async fn devices_have_new_numbers_and_a_list_that_has_a_version(store: Shared) {
    store.create_account(account(1, 0)).await.expect("created");
    assert_eq!(store.devices(tag(1)).await.expect("read").1, 1);
    for number in [2, 3] {
        let added = store.add_device(another_device(1, None)).await.expect("added");
        assert_eq!(u32::from(added.get()), number);
    }
    let (devices, version) = store.devices(tag(1)).await.expect("read");
    assert_eq!((devices.len(), version), (3, 3));
    let refused = store.add_device(another_device(1, None)).await;
    assert!(matches!(refused, Err(AddDeviceError::TooMany)), "{refused:?}");
    assert!(store.remove_device(device(1, 3)).await.expect("removed"));
    assert!(!store.remove_device(device(1, 3)).await.expect("asked"));
    let added = store.add_device(another_device(1, None)).await.expect("added");
    assert_eq!(added.get(), 4, "3 does not come back");
    assert_eq!(store.devices(tag(1)).await.expect("read").1, 5);
    assert!(store.rename_device(device(1, 4), Bytes::from_static(b"sealed")).await.expect("renamed"));
    let named = store.devices(tag(1)).await.expect("read").0.into_iter().find_map(|device| device.name);
    assert_eq!(named.as_deref(), Some(&b"sealed"[..]));
    assert!(!store.rename_device(device(1, 9), Bytes::new()).await.expect("asked"));
    // Only the account's own identity gets in.
    let mut foreign = another_device(1, None);
    foreign.device.identity_key[5] ^= 1;
    let refused = store.add_device(foreign).await;
    assert!(matches!(refused, Err(AddDeviceError::UnknownAccount)), "{refused:?}");
}

pub(crate) async fn a_removed_device_takes_its_keys_queue_and_tokens_along(store: Shared) {
    store.create_account(account(1, 0)).await.expect("created");
    store.add_device(another_device(1, None)).await.expect("added");
    assert!(store.put_family(family(2, device(1, 2))).await.expect("kept"));
    let letter = Append { to: device(1, 2), ..append(1, 1) };
    store.commit(appends(vec![letter.clone()])).await.expect("committed");
    assert!(store.remove_device(device(1, 2)).await.expect("removed"));
    assert_eq!(store.family(FamilyId([2; 16])).await.expect("read"), None);
    assert!(!store.put_family(family(2, device(1, 2))).await.expect("asked"));
    assert_eq!(store.key_counts(device(1, 2)).await.expect("read"), KeyCounts::default());
    assert_eq!(store.commit(appends(vec![letter])).await.expect("committed"), [AppendOutcome::UnknownDevice]);
    assert_eq!(store.identity(tag(1)).await.expect("read").expect("found").envelope_keys.len(), 1);
}

pub(crate) async fn nobody_hears_of_a_device_that_waits(store: Shared) {
    store.create_account(account(1, 0)).await.expect("created");
    let until = NOW.plus(Duration::from_secs(1));
    store.add_device(AddDevice { active_at: until, ..another_device(1, None) }).await.expect("added");
    let known = store.device(device(1, 2)).await.expect("read").expect("found");
    assert_eq!(known.waits_until, Some(until));
    assert_eq!(store.take_bundles(tag(1)).await.expect("read").expect("found").devices.len(), 1);
    assert_eq!(store.identity(tag(1)).await.expect("read").expect("found").envelope_keys.len(), 1);
    assert_eq!(store.devices(tag(1)).await.expect("read").0.len(), 2, "but its owner does");
    assert!(store.activate_device(device(1, 2)).await.expect("activated"));
    assert!(!store.activate_device(device(1, 2)).await.expect("asked"), "once");
    assert_eq!(store.device(device(1, 2)).await.expect("read").expect("found").waits_until, None);
    let bundles = store.take_bundles(tag(1)).await.expect("read").expect("found");
    assert_eq!((bundles.devices.len(), bundles.devices_version), (2, 3));
}

pub(crate) async fn a_meeting_lets_one_device_in_and_only_with_its_secret(store: Shared) {
    store.create_account(account(1, 0)).await.expect("created");
    store.create_account(account(2, 0)).await.expect("created");
    let (id, offer) = (LinkId([1; 16]), Bytes::from_static(b"offer"));
    assert!(store.put_link(id, offer.clone(), NOW, LATER).await.expect("begun"));
    assert!(!store.put_link(id, offer.clone(), NOW, LATER).await.expect("asked"), "the name is taken");
    assert_eq!(store.link_offer(id, NOW).await.expect("read"), Some(offer.clone()));
    assert_eq!(store.link_offer(id, LATER).await.expect("read"), None, "too late");
    assert_eq!(store.link_answer(id, NOW).await.expect("read"), Some(None));
    let answer = |n| LinkAnswer { account: tag(n), sealed: Bytes::from_static(b"sealed"), secret_hash: Some([8; 32]) };
    let agreed = |n| LinkAnswer { sealed: Bytes::from_static(b"agreed"), secret_hash: None, ..answer(n) };
    assert!(store.answer_link(id, agreed(1), NOW).await.expect("answered"));
    assert!(!store.answer_link(id, agreed(1), NOW).await.expect("asked"), "once");
    assert!(!store.answer_link(id, answer(2), NOW).await.expect("asked"), "of the same account");
    assert!(store.answer_link(id, answer(1), NOW).await.expect("answered"));
    assert!(!store.answer_link(id, answer(1), NOW).await.expect("asked"), "once");
    assert!(!store.answer_link(id, answer(2), NOW).await.expect("asked"), "once");
    let answered = store.link_answer(id, NOW).await.expect("read");
    assert_eq!(answered, Some(Some((tag(1), Bytes::from_static(b"sealed")))));
    for (n, link) in [(1, (id, [9; 32])), (2, (id, [8; 32])), (1, (LinkId([2; 16]), [8; 32]))] {
        let refused = store.add_device(another_device(n, Some(link))).await;
        assert!(matches!(refused, Err(AddDeviceError::Link)), "{refused:?}");
    }
    store.add_device(another_device(1, Some((id, [8; 32])))).await.expect("let in");
    let refused = store.add_device(another_device(1, Some((id, [8; 32])))).await;
    assert!(matches!(refused, Err(AddDeviceError::Link)), "used up: {refused:?}");
    // So many at one time, and those that are over make room.
    for n in [3, 4] {
        assert!(store.put_link(LinkId([n; 16]), offer.clone(), NOW, LATER).await.expect("begun"));
    }
    assert!(!store.put_link(LinkId([5; 16]), offer.clone(), NOW, LATER).await.expect("asked"));
    assert!(store.put_link(LinkId([5; 16]), offer, LATER, LATER.plus(Duration::from_secs(1))).await.expect("begun"));
    assert_eq!(store.remove_expired_links(LATER).await.expect("swept"), 2);
}

// --- tokens ---

pub(crate) async fn a_family_is_swapped_by_one_of_many(store: Shared) {
    store.create_account(account(1, 0)).await.expect("created");
    let before = family(1, address(1));
    assert!(store.put_family(before.clone()).await.expect("kept"));
    let mut swaps = JoinSet::new();
    for n in 10..42 {
        let (store, before) = (Arc::clone(&store), before.clone());
        let after = Family { generation: 1, token_hash: [n; 32], previous_hash: Some([1; 32]), ..before.clone() };
        swaps.spawn(async move { store.swap_family(&before, &after).await.expect("asked").then_some(after) });
    }
    let swapped: Vec<Family> = swaps.join_all().await.into_iter().flatten().collect();
    assert_eq!(swapped.len(), 1);
    assert_eq!(store.family(before.id).await.expect("read"), Some(swapped[0].clone()));
    assert!(store.remove_family(before.id).await.expect("revoked"));
    assert!(!store.remove_family(before.id).await.expect("asked"));
    assert!(!store.swap_family(&swapped[0], &before).await.expect("asked"), "what is gone does not come back");
}

pub(crate) async fn a_device_has_one_family_and_an_account_can_end_all(store: Shared) {
    store.create_account(account(1, 0)).await.expect("created");
    store.add_device(another_device(1, None)).await.expect("added");
    for n in [1, 2] {
        assert!(store.put_family(family(n, address(1))).await.expect("kept"));
    }
    assert!(store.put_family(family(3, device(1, 2))).await.expect("kept"));
    assert_eq!(store.family(FamilyId([1; 16])).await.expect("read"), None, "replaced by the next login");
    let ended = store.remove_families(tag(1), Some(FamilyId([3; 16]))).await.expect("ended");
    assert_eq!(ended, [DeviceId::FIRST]);
    assert!(store.family(FamilyId([3; 16])).await.expect("read").is_some());
    assert_eq!(store.remove_families(tag(1), None).await.expect("ended").len(), 1);
    assert!(store.put_family(family(4, address(1))).await.expect("kept"));
    assert_eq!(store.remove_expired_families(NOW, 10).await.expect("swept"), 0);
    assert_eq!(store.remove_expired_families(LATER, 10).await.expect("swept"), 1);
}

// --- relations ---

pub(crate) async fn a_relation_is_the_owners_and_there_are_only_so_many(store: Shared) {
    store.create_account(account(1, 0)).await.expect("created");
    store.create_account(account(2, 0)).await.expect("created");
    let of = async |owner, peer| {
        store.standing(tag(owner), PeerHash([peer; 32])).await.expect("read").map(|standing| standing.relation)
    };
    assert_eq!(of(1, 1).await, Some(None));
    assert_eq!(of(9, 1).await, None, "no such account");
    assert!(store.accept_if_new(tag(1), PeerHash([1; 32])).await.expect("noted"));
    assert!(!store.accept_if_new(tag(1), PeerHash([1; 32])).await.expect("asked"));
    assert!(store.set_relation(tag(1), PeerHash([1; 32]), Some(Relation::Blocked)).await.expect("kept"));
    assert!(!store.accept_if_new(tag(1), PeerHash([1; 32])).await.expect("asked"), "a block stays");
    assert_eq!((of(1, 1).await, of(2, 1).await), (Some(Some(Relation::Blocked)), Some(None)));
    for peer in [2, 3] {
        assert!(store.set_relation(tag(1), PeerHash([peer; 32]), Some(Relation::Accepted)).await.expect("kept"));
    }
    assert!(!store.set_relation(tag(1), PeerHash([4; 32]), Some(Relation::Accepted)).await.expect("asked"), "full");
    assert!(!store.accept_if_new(tag(1), PeerHash([4; 32])).await.expect("asked"));
    assert!(store.set_relation(tag(1), PeerHash([1; 32]), Some(Relation::Accepted)).await.expect("changed"));
    assert!(store.set_relation(tag(1), PeerHash([1; 32]), None).await.expect("forgotten"));
    assert!(store.set_relation(tag(1), PeerHash([4; 32]), Some(Relation::Accepted)).await.expect("room"));
    assert!(!store.set_relation(tag(9), PeerHash([1; 32]), Some(Relation::Accepted)).await.expect("asked"));
}

pub(crate) async fn strangers_fill_only_their_tray(store: Shared) {
    store.create_account(account(1, 0)).await.expect("created");
    let stranger = |n| Append { tray: Tray::Requests, ..append(1, n) };
    let outcomes = store.commit(appends(vec![stranger(1), stranger(2), stranger(3)])).await.expect("committed");
    let [AppendOutcome::Stored(first), AppendOutcome::Stored(_), AppendOutcome::Full] = outcomes[..] else {
        panic!("{outcomes:?}");
    };
    let outcomes = store.commit(appends(vec![append(1, 4), append(1, 5), append(1, 6)])).await.expect("committed");
    assert!(matches!(outcomes[..], [AppendOutcome::Stored(_), AppendOutcome::Stored(_), AppendOutcome::Full]));
    assert_eq!(store.commit(appends(vec![stranger(1)])).await.expect("committed"), [AppendOutcome::Repeat(first)]);
    store.commit(deletes(vec![(address(1), first)])).await.expect("committed");
    let outcomes = store.commit(appends(vec![stranger(7)])).await.expect("committed");
    assert!(matches!(outcomes[..], [AppendOutcome::Stored(_)]), "{outcomes:?}");
    assert_eq!(store.delete_expired(LATER, 100).await.expect("swept"), 4);
    let outcomes = store.commit(appends(vec![stranger(8), stranger(9)])).await.expect("committed");
    assert!(matches!(outcomes[..], [AppendOutcome::Stored(_), AppendOutcome::Stored(_)]), "{outcomes:?}");
}

// --- audit ---

fn entry(n: u8, key: &AuditKey) -> AuditEntry {
    AuditEntry {
        at: UnixMillis::new(1_000 * u64::from(n)),
        account: n.is_multiple_of(2).then(|| key.pseudonym(tag(n))),
        device: Some(DeviceId::FIRST),
        event: if n.is_multiple_of(3) { "token.refresh" } else { "password.login" }.to_owned(),
        outcome: "ok".to_owned(),
        signals: format!("n={n}"),
    }
}

pub(crate) async fn the_audit_keeps_its_order_and_its_chain_whoever_writes(store: Shared) {
    let key = AuditKey::new(&[1; 32]);
    let mut writers = JoinSet::new();
    for n in 0..16 {
        let (store, key) = (Arc::clone(&store), key.clone());
        writers.spawn(async move {
            let entries = (0..4).map(|part| entry(n * 4 + part, &key)).collect();
            store.append_audit(&key, entries).await.expect("written");
        });
    }
    writers.join_all().await;
    assert_eq!(verify_audit(&*store, &key).await.expect("read"), AuditVerdict::Intact { rows: 64 });
    let stranger = AuditKey::new(&[2; 32]);
    assert_eq!(verify_audit(&*store, &stranger).await.expect("read"), AuditVerdict::Broken { seq: 1 });
    let all = store.audit(&AuditQuery { max: 100, ..AuditQuery::default() }).await.expect("read");
    assert_eq!(all.iter().map(|row| row.seq).collect::<Vec<_>>(), (1..=64).collect::<Vec<_>>());
    let of = AuditQuery { account: Some(key.pseudonym(tag(6))), max: 100, ..AuditQuery::default() };
    assert_eq!(store.audit(&of).await.expect("read").len(), 1);
    let some = AuditQuery { event: Some("token.".into()), max: 5, after: 10, ..AuditQuery::default() };
    let some = store.audit(&some).await.expect("read");
    assert!(some.len() == 5 && some.iter().all(|row| row.seq > 10 && row.entry.event == "token.refresh"));
}

pub(crate) async fn a_pruned_audit_is_still_a_chain(store: Shared) {
    let key = AuditKey::new(&[1; 32]);
    store.append_audit(&key, (1..=20).map(|n| entry(n, &key)).collect()).await.expect("written");
    assert_eq!(store.prune_audit(UnixMillis::new(0), 100).await.expect("pruned"), 0);
    assert_eq!(store.prune_audit(UnixMillis::new(8_000), 5).await.expect("pruned"), 5, "so many at a time");
    assert_eq!(store.prune_audit(UnixMillis::new(8_000), 5).await.expect("pruned"), 2);
    assert_eq!(verify_audit(&*store, &key).await.expect("read"), AuditVerdict::Intact { rows: 13 });
    store.append_audit(&key, vec![entry(21, &key)]).await.expect("written");
    assert_eq!(verify_audit(&*store, &key).await.expect("read"), AuditVerdict::Intact { rows: 14 });
    assert_eq!(store.prune_audit(UnixMillis::new(u64::MAX), 100).await.expect("pruned"), 14);
    assert_eq!(verify_audit(&*store, &key).await.expect("read"), AuditVerdict::Intact { rows: 0 });
}

pub(crate) async fn a_one_time_key_has_one_of_64_takers(store: Shared) {
    store.create_account(account(1, 40)).await.expect("created");
    let mut takers = JoinSet::new();
    for _ in 0..64 {
        let store = Arc::clone(&store);
        takers.spawn(async move { store.take_bundles(tag(1)).await.expect("taken").expect("found") });
    }
    let mut taken: Vec<u32> = takers
        .join_all()
        .await
        .into_iter()
        .filter_map(|bundles| bundles.devices[0].one_time_pre_key.as_ref().map(|key| key.id))
        .collect();
    taken.sort_unstable();
    assert_eq!(taken.len(), 40, "each key once, and no more");
    taken.dedup();
    assert_eq!(taken.len(), 40);
}
