//! What comes before and beside a login: blind handles, refresh tokens, linking of devices.

use std::sync::LazyLock;

use endtoend_crypto_core::handle::Handle;
use endtoend_crypto_core::oprf::{Blinding, OprfKey, OprfPublic};
use endtoend_crypto_core::provision::{LinkCode, NewDevice, Offer, ProvisionError};
use endtoend_crypto_core::refresh::{RefreshKey, RefreshToken};

use crate::{choice, chosen, rng};

const OFFER_CONTEXT: &str = "endtoend 2026-11 device link v1 offer";

struct Accounts {
    handle: Handle,
    oprf: OprfKey,
    tag: [u8; 32],
    refresh: RefreshKey,
    hash: [u8; 32],
}

static ACCOUNTS: LazyLock<Accounts> = LazyLock::new(|| {
    let (handle, oprf) = ("alice".parse().unwrap(), OprfKey::generate(&mut rng(1)).unwrap());
    let (tag, refresh) = (oprf.tag(&handle).unwrap(), RefreshKey::generate(&mut rng(2)));
    Accounts { handle, tag, oprf, hash: refresh.hash(&token()), refresh }
});

fn token() -> RefreshToken {
    RefreshToken::first(&mut rng(3))
}

fn blinding() -> (Blinding, [u8; 32]) {
    Blinding::start(&mut rng(4), &ACCOUNTS.handle).unwrap()
}

fn new_device() -> NewDevice {
    NewDevice::start(&mut rng(5))
}

/// What the existing device answered, and what it sealed.
fn answered() -> (Vec<u8>, Vec<u8>) {
    let new = new_device();
    let (sender, answer) = Offer::read(&new.code(), new.offer()).unwrap().answer(&mut rng(6)).unwrap();
    (answer.to_vec(), sender.seal(b"keys").unwrap())
}

/// Nothing is taken that the other side did not make.
pub fn accounts(data: &[u8]) {
    let (kind, rest) = choice(data);
    let Accounts { oprf, tag, refresh, hash, .. } = &*ACCOUNTS;
    match kind % 7 {
        0 => {
            if let Ok(evaluation) = oprf.evaluate(&mut rng(7), rest) {
                assert_eq!(rest.len(), 32);
                // Nothing was asked by us, so nothing answers us, unless it is our own question.
                let (ours, blinded) = blinding();
                assert_eq!(ours.finish(&evaluation, &oprf.public()).is_ok(), rest == blinded);
            }
        }
        1 => {
            // Another proof of the same evaluation takes the key.
            if let Ok(read) = blinding().0.finish(rest, &oprf.public()) {
                assert_eq!((read, rest.len()), (*tag, 96), "a forged evaluation");
            }
        }
        2 => {
            if let Ok(bytes) = rest.try_into() {
                if let Ok(public) = OprfPublic::from_bytes(bytes) {
                    assert_eq!(public.to_bytes(), *bytes);
                }
                if let Ok(key) = OprfKey::from_bytes(bytes) {
                    assert_eq!(*key.to_bytes(), *bytes);
                }
            }
        }
        3 => {
            if let Ok(read) = RefreshToken::from_bytes(rest) {
                assert_eq!(read.to_bytes()[..], *rest);
                assert_eq!(refresh.matches(&read, hash), *rest == token().to_bytes()[..], "a forged token");
            }
        }
        4 => {
            if let Ok(code) = LinkCode::from_bytes(rest) {
                assert_eq!(code.to_bytes()[..], *rest);
            }
            let refused = Offer::read(&new_device().code(), rest).is_err();
            assert_eq!(refused, *rest != new_device().offer()[..], "an offer of another device");
        }
        5 => {
            let code = [&[9; 16][..], &blake3::derive_key(OFFER_CONTEXT, rest)].concat();
            match Offer::read(&LinkCode::from_bytes(&code).unwrap(), rest) {
                Ok(offer) => drop(offer.answer(&mut rng(8)).unwrap()),
                Err(refused) => assert_ne!(refused, ProvisionError::WrongOffer),
            }
        }
        _ => {
            let (answer, sealed) = answered();
            if let Ok(receiver) = new_device().agree(rest) {
                assert_eq!(receiver.open(&sealed).is_ok(), *rest == answer, "an answer of another device");
            }
            let receiver = new_device().agree(&answer).unwrap();
            assert_eq!(receiver.open(rest).is_ok(), *rest == sealed, "a forged payload");
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let (_, blinded) = blinding();
    let (answer, sealed) = answered();
    vec![
        chosen(0, &blinded),
        chosen(1, &ACCOUNTS.oprf.evaluate(&mut rng(9), &blinded).unwrap()),
        chosen(2, &ACCOUNTS.oprf.public().to_bytes()),
        chosen(2, ACCOUNTS.oprf.to_bytes().as_ref()),
        chosen(3, token().to_bytes().as_ref()),
        chosen(4, &new_device().code().to_bytes()),
        chosen(4, new_device().offer()),
        chosen(5, new_device().offer()),
        chosen(6, &answer),
        chosen(6, &sealed),
    ]
}
