//! A profile that is locked while its engine runs.

use std::time::Duration;

use tokio::time::timeout;
use zeroize::Zeroizing;

use super::node::Node;
use super::wiring::{PASSWORD, PATIENCE, Person};
use crate::database::DatabaseError;
use crate::engine::{ConnectionState, OfflineReason, Stopped, UnlockError};
use crate::profile::{Profile, ProfileError};

fn password(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

async fn until_locked(person: &Person) {
    let mut connection = person.engine.connection();
    let locked = connection
        .wait_for(|state| matches!(state, ConnectionState::Offline { why: OfflineReason::Locked, retry_at: None }));
    timeout(PATIENCE, locked).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_locked_profile_is_closed_until_its_password_comes() {
    let node = Node::start().await;
    let (alice, bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    let handle = alice.engine.handle();
    let open = handle.unlock(password(PASSWORD)).await;
    assert!(matches!(open, Err(UnlockError::NotLocked)), "{open:?}");
    handle.lock().await.unwrap();
    until_locked(&alice).await;
    handle.lock().await.unwrap();
    assert!(matches!(handle.status().await, Err(DatabaseError::Stopped)));
    // Another program may use it meanwhile.
    let elsewhere = Profile::open(alice.home(), PASSWORD.as_bytes()).unwrap();
    let used = handle.unlock(password(PASSWORD)).await;
    assert!(matches!(used, Err(UnlockError::Profile(ProfileError::Locked(_)))), "{used:?}");
    drop(elsewhere);
    let id = bob.send("alice", "while you were away").await;
    bob.settled(id).await;
    let wrong = handle.unlock(password("wrong horse")).await;
    assert!(matches!(wrong, Err(UnlockError::Profile(ProfileError::WrongPassword))), "{wrong:?}");
    until_locked(&alice).await;
    handle.unlock(password(PASSWORD)).await.unwrap();
    alice.until_online().await;
    assert_eq!(alice.unread(1).await, ["while you were away"]);
    handle.lock().await.unwrap();
    alice.engine.stop().await;
    assert_eq!(handle.lock().await, Err(Stopped));
}

#[tokio::test]
async fn a_profile_locks_itself_when_nobody_is_there() {
    let node = Node::start().await;
    let alice = Person::registered(&node, "alice").await;
    let handle = alice.engine.handle();
    assert_eq!(handle.lock_after().await.unwrap(), None);
    let second = Some(Duration::from_secs(1));
    handle.set_lock_after(second).await.unwrap();
    // Online, and once more without a connection after a restart, which remembers it.
    handle.active().await;
    until_locked(&alice).await;
    let alice = alice.restarted(false).await;
    let handle = alice.engine.handle();
    assert_eq!(handle.lock_after().await.unwrap(), second);
    handle.active().await;
    until_locked(&alice).await;
}
