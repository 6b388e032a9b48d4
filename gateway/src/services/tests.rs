//! Services on a store of their own.

use actix::{Actor, Context, Handler};
use endtoend_protocol::{AccountTag, DeviceId, EnvelopeKey, KemPreKey, NewDevice, SignedPreKey};
use endtoend_storage::{AccountStore as _, Family, NewAccount, Sqlite, StoreLimits, TokenStore as _};

use super::*;
use crate::node::{DataDir, services_alone};

const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);
const ALICE: Address = Address { account: AccountTag::new([1; 32]), device: DeviceId::FIRST };
const FAMILY: FamilyId = FamilyId([1; 16]);

/// A connection that hears what it is told.
struct Probe;
impl Actor for Probe {
    type Context = Context<Self>;
}
impl Handler<Notice> for Probe {
    type Result = ();
    fn handle(&mut self, _: Notice, _: &mut Self::Context) {}
}

fn account(tag: AccountTag) -> NewAccount {
    let kem = KemPreKey { id: 1, public: Bytes::from(vec![1; 1569]), signature: [1; 64] };
    let device = NewDevice {
        device_key: Bytes::from(vec![1; 2624]),
        registration_id: 1,
        identity_key: [1; 33],
        signed_pre_key: SignedPreKey { id: 1, public: [1; 33], signature: [1; 64] },
        last_resort_kem_pre_key: kem,
        envelope_key: EnvelopeKey { id: 1, x25519: [1; 32], ml_kem: Bytes::from(vec![1; 1568]), signature: [1; 64] },
        one_time_pre_keys: Vec::new(),
        one_time_kem_pre_keys: Vec::new(),
    };
    NewAccount { tag, opaque_record: Bytes::from(vec![1; 100]), device, invite: None, created_at: NOW }
}

/// A login whose credentials are right is about to enter, and somebody does something to its account.
async fn enters_after(something: impl AsyncFn(&Services)) -> (Answered<SessionId>, (usize, usize)) {
    let (secrets, rows) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let data = DataDir::open(secrets.path()).unwrap();
    let store = Arc::new(Sqlite::open(&rows.path().join("store.db"), StoreLimits::default()).await.unwrap());
    let services = services_alone(&data, store.clone()).await.unwrap();
    store.create_account(account(ALICE.account)).await.unwrap();
    let family = Family {
        id: FAMILY,
        device: ALICE,
        generation: 0,
        token_hash: [0; 32],
        previous_hash: None,
        created_at: NOW,
        refreshed_at: NOW,
        expires_at: NOW.plus(limits::REFRESH_TOKEN_LIFE),
    };
    assert!(store.put_family(family).await.unwrap());
    something(&services).await;
    let login = Login { device: ALICE, family: FAMILY };
    let entered = services.enter(login, Origin::of(None), Probe.start().recipient(), NOW).await;
    (entered, services.sessions.count())
}

#[actix::test]
async fn a_login_that_was_ended_before_it_has_entered_does_not_enter() {
    let (entered, here) = enters_after(async |_| {}).await;
    assert!(entered.is_ok());
    assert_eq!(here, (1, 1));
    let who = Who::Tag(ALICE.account.as_bytes().to_vec());
    let disable = async |services: &Services| {
        services.disable(&who, true, NOW).await.unwrap();
    };
    let delete = async |services: &Services| {
        services.delete(&who, NOW).await.unwrap();
    };
    let log_out = async |services: &Services| assert!(services.store.remove_family(FAMILY).await.unwrap());
    for (entered, here) in [enters_after(disable).await, enters_after(delete).await, enters_after(log_out).await] {
        assert_eq!(entered.unwrap_err().code, RefusalCode::BadCredentials);
        assert_eq!(here, (0, 0), "and nobody is left behind");
    }
}
