//! Our constructions from fixed inputs, as they were made once: crypto/vectors/*.json.
//!
//! A change that makes another byte is a change of protocol. Who means one writes the files anew with
//! `BLESS=1 cargo test -p endtoend-crypto-core --test vectors` and raises the version in the construction's domain.
//! The files are checked from both sides: the inputs make these bytes, and these bytes are accepted.
#![expect(clippy::unwrap_used, reason = "test code: what fails here fails the test")]

use std::path::PathBuf;
use std::time::Duration;

use endtoend_crypto_core::aead::{self, Key, Nonce};
use endtoend_crypto_core::channel::{Channel, Initiator, Introduction, REKEY_AGE, StaticKeys, fingerprint, respond};
use endtoend_crypto_core::handle::Handle;
use endtoend_crypto_core::oprf::{Blinding, OprfKey, OprfPublic};
use endtoend_crypto_core::passphrase::{self, Params};
use endtoend_crypto_core::proof::{DeviceStatement, Purpose, sign_device_proof, verify_device_proof};
use endtoend_crypto_core::provision::{LinkCode, NewDevice, Offer};
use endtoend_crypto_core::refresh::{RefreshKey, RefreshToken};
use endtoend_crypto_core::sealing::{self, SealingSecret};
use endtoend_crypto_core::signature::{SigningKey, VerifyingKey};
use endtoend_crypto_core::token;
use endtoend_crypto_core::work::{self, Puzzle};
use rand::Rng as _;
use serde_json::{Value, json};

/// `N` bytes that count up from `first`.
fn counting<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|at| first.wrapping_add(at as u8))
}

/// Bytes that are the same in every version of every crate.
struct Script(blake3::OutputReader);

impl Script {
    fn new(seed: u8) -> Self {
        Self(blake3::Hasher::new().update(&[seed]).finalize_xof())
    }
}

impl rand_core::TryRng for Script {
    type Error = std::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Script {}

/// Reads crypto/vectors/`name`; with BLESS=1 writes `made` there before.
fn vectors(name: &str, made: &Value) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../vectors").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(made).unwrap() + "\n").unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(*made, kept, "{name}: the same inputs make other bytes now");
    kept
}

fn bytes(value: &Value, name: &str) -> Vec<u8> {
    hex::decode(value[name].as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &Value, name: &str) -> [u8; N] {
    bytes(value, name).try_into().unwrap()
}

#[test]
fn the_aead_is_the_one_of_the_vectors() {
    let cases: [(&str, &[u8], Vec<u8>); 4] = [
        ("nothing", b"", Vec::new()),
        ("text and associated data", b"associated data", b"a text".to_vec()),
        ("associated data only", b"associated data", Vec::new()),
        ("more than one block of every primitive", b"", counting::<200>(0).to_vec()),
    ];
    let (key, nonce) = (counting::<32>(0), counting::<36>(0x80));
    let made: Vec<Value> = cases
        .iter()
        .map(|(name, ad, plaintext)| {
            json!({
                "name": name, "key": hex::encode(key), "nonce": hex::encode(nonce), "associated_data": hex::encode(ad),
                "plaintext": hex::encode(plaintext),
                "sealed": hex::encode(aead::seal(&Key::new(key), &nonce, ad, plaintext)),
            })
        })
        .collect();
    let kept = vectors("aead.json", &json!({ "construction": "PQ AEAD, version 1", "cases": made }));
    for case in kept["cases"].as_array().unwrap() {
        let (key, nonce): (_, Nonce) = (Key::new(array(case, "key")), array(case, "nonce"));
        let opened = aead::open(&key, &nonce, &bytes(case, "associated_data"), &bytes(case, "sealed")).unwrap();
        assert_eq!(*opened, bytes(case, "plaintext"));
    }
}

#[test]
fn the_signature_is_the_one_of_the_vectors() {
    const DOMAIN: &str = "endtoend 2026-11 test vector v1";
    let made: Vec<Value> = [(0, Vec::new()), (0, b"a message".to_vec()), (64, counting::<1000>(7).to_vec())]
        .into_iter()
        .map(|(first, message)| {
            let seed = counting::<64>(first);
            let key = SigningKey::from_seed(&seed);
            json!({
                "seed": hex::encode(seed), "verifying_key": hex::encode(key.verifying_key().to_bytes()),
                "message": hex::encode(&message), "signature": hex::encode(key.sign(DOMAIN, &message)),
            })
        })
        .collect();
    let made = json!({ "construction": "hybrid signature, Ed25519 and ML-DSA-87", "domain": DOMAIN, "cases": made });
    let kept = vectors("signature.json", &made);
    assert_eq!(kept["domain"], DOMAIN);
    for case in kept["cases"].as_array().unwrap() {
        let key = VerifyingKey::from_bytes(&bytes(case, "verifying_key")).unwrap();
        assert_eq!(key.verify(DOMAIN, &bytes(case, "message"), &bytes(case, "signature")), Ok(()));
    }
}

/// What the handshake draws: a scalar and an ML-KEM seed for each pair of keys, 32 bytes for each encapsulation.
struct Drawn {
    rng: Script,
}

impl Drawn {
    fn pair(&mut self) -> Value {
        json!({ "x25519": hex::encode(self.take(32)), "ml_kem_seed": hex::encode(self.take(64)) })
    }
    fn take(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }
}

#[test]
fn the_channel_is_the_one_of_the_vectors() {
    const ISSUED: u64 = 1_800_000_000_000;
    let rng = Script::new;
    let drawn = |seed: u8| Drawn { rng: rng(seed) };
    let seed = counting::<64>(0);
    let identity = SigningKey::from_seed(&seed);
    let keys = StaticKeys::generate(&mut rng(1));
    let introduction = Introduction::sign(&identity, keys.public(), ISSUED, ISSUED + 172_800_000);
    let (initiator, initiate) = Initiator::start(&mut rng(2), keys.public(), &introduction).unwrap();
    let (answer, mut server) = respond(&mut rng(3), &keys, &introduction, &initiate).unwrap();
    let mut client = initiator.finish(&answer).unwrap();
    // The third changes the key; the fourth is under the next one.
    let ages = [Duration::ZERO, Duration::ZERO, REKEY_AGE, REKEY_AGE];
    let records = |channel: &mut Channel| -> Vec<Value> {
        let frames = [&b""[..], b"a frame", b"the last under this key", b"the first under the next"];
        let sealed = frames.into_iter().zip(ages);
        sealed
            .map(|(frame, age)| {
                let record = channel.sealer.seal(frame, age).unwrap();
                json!({ "frame": hex::encode(frame), "rekey": age == REKEY_AGE && frame.starts_with(b"the last"),
                        "record": hex::encode(record) })
            })
            .collect()
    };
    let (mut initiator_drew, mut responder_drew) = (drawn(2), drawn(3));
    let made = json!({
        "construction": "secure channel, version 1",
        "identity_seed": hex::encode(seed), "fingerprint": hex::encode(fingerprint(&identity.verifying_key())),
        "issued_ms": ISSUED, "expires_ms": ISSUED + 172_800_000_u64,
        "static": drawn(1).pair(), "introduction": hex::encode(&introduction),
        "initiator": { "ephemeral": initiator_drew.pair(), "encapsulation": hex::encode(initiator_drew.take(32)) },
        "initiate": hex::encode(&initiate),
        "responder": { "encapsulation": hex::encode(responder_drew.take(32)), "ephemeral": responder_drew.pair() },
        "respond": hex::encode(&answer), "binding": hex::encode(client.binding),
        "from_client": records(&mut client), "from_server": records(&mut server),
    });
    let kept = vectors("channel.json", &made);
    let introduction = Introduction::read(&bytes(&kept, "introduction")).unwrap();
    introduction.check(&array(&kept, "fingerprint"), ISSUED, 0).unwrap();
    let opened = |channel: &mut Channel, records: &Value| {
        for case in records.as_array().unwrap() {
            assert_eq!(channel.opener.open(&bytes(case, "record")).unwrap(), bytes(case, "frame"));
        }
    };
    opened(&mut server, &kept["from_client"]);
    opened(&mut client, &kept["from_server"]);
}

#[test]
fn the_device_proof_is_the_one_of_the_vectors() {
    let seed = counting::<64>(0);
    let key = SigningKey::from_seed(&seed);
    let (challenge, channel_binding, account) = (counting::<32>(1), counting::<32>(33), counting::<32>(0xa0));
    let (token_id, family) = (counting::<16>(65), counting::<16>(81));
    let purposes = [
        ("register", Purpose::Register),
        ("login", Purpose::Login),
        ("resume", Purpose::Resume { token_id }),
        ("refresh", Purpose::Refresh { family, generation: 0x0102_0304 }),
        ("add_device", Purpose::AddDevice),
    ];
    let statement = |purpose| DeviceStatement {
        challenge: &challenge,
        channel_binding: &channel_binding,
        account: &account,
        device: 1,
        purpose,
    };
    let made: Vec<Value> = purposes
        .iter()
        .map(|(name, purpose)| {
            let (token_id, generation) = match *purpose {
                Purpose::Resume { token_id } => (token_id, 0),
                Purpose::Refresh { family, generation } => (family, generation),
                Purpose::Register | Purpose::Login | Purpose::AddDevice => ([0; 16], 0),
            };
            json!({
                "purpose": name, "token_id": hex::encode(token_id), "generation": generation,
                "proof": hex::encode(sign_device_proof(&key, &statement(*purpose))),
            })
        })
        .collect();
    let made = json!({
        "construction": "device proof, version 2", "seed": hex::encode(seed),
        "challenge": hex::encode(challenge), "channel_binding": hex::encode(channel_binding),
        "account": hex::encode(account), "device": 1, "cases": made,
    });
    let kept = vectors("device_proof.json", &made);
    for (case, (_, purpose)) in kept["cases"].as_array().unwrap().iter().zip(purposes) {
        let proof = bytes(case, "proof");
        assert_eq!(verify_device_proof(&key.verifying_key(), &statement(purpose), &proof), Ok(()));
    }
}

#[test]
fn the_access_token_is_the_one_of_the_vectors() {
    const ISSUED: u64 = 1_800_000_000_000;
    const EXPIRES: u64 = 1_800_000_900_000;
    let (seed, account, token_id) = (counting::<64>(0), counting::<32>(0xa0), counting::<16>(65));
    let key = SigningKey::from_seed(&seed);
    let made = json!({
        "construction": "access token, version 1", "seed": hex::encode(seed), "token_id": hex::encode(token_id),
        "account": hex::encode(account), "device": 1, "issued_ms": ISSUED, "expires_ms": EXPIRES,
        "token": hex::encode(token::issue(&key, &account, 1, &token_id, ISSUED, EXPIRES)),
    });
    let kept = vectors("access_token.json", &made);
    let claims = token::verify(&key.verifying_key(), &bytes(&kept, "token"), ISSUED, 0).unwrap();
    assert_eq!((claims.account, claims.device, claims.token_id), (account, 1, token_id));
    assert_eq!((claims.issued_ms, claims.expires_ms), (ISSUED, EXPIRES));
}

#[test]
fn the_passphrase_is_the_one_of_the_vectors() {
    let cases = [
        ("correct horse battery staple", Params::FLOOR),
        ("", Params { memory_kib: 64, passes: 1, lanes: 1 }),
        ("pässwörd", Params { memory_kib: 256, passes: 2, lanes: 4 }),
    ];
    let salt = counting::<16>(0xc0);
    let made: Vec<Value> = cases
        .into_iter()
        .map(|(password, params)| {
            json!({
                "password": password, "salt": hex::encode(salt), "memory_kib": params.memory_kib,
                "passes": params.passes, "lanes": params.lanes,
                "key": hex::encode(passphrase::derive(password.as_bytes(), &salt, params).unwrap()),
            })
        })
        .collect();
    vectors("passphrase.json", &json!({ "construction": "key from a password, Argon2id", "cases": made }));
}

#[test]
fn handles_are_spelled_as_in_the_vectors() {
    let made: Vec<Value> = [
        "Alice",
        "a.b_c-1",
        "ＡＬＩＣＥ",
        "ﬁona",
        "Straße",
        "ÅNGSTRÖM",
        "mu\u{308}ller",
        "ΟΔΥΣΣΕΎΣ",
        "Владимир",
        "ışık",
        "NGUYỄN_VĂN",
        "שלמה",
        "محمد-1",
        "राजेश",
        "山田太郎",
        "ﾔﾏﾀﾞtaro",
        "\u{1112}\u{1161}\u{11ab}글날",
    ]
    .into_iter()
    .map(|written| json!({ "written": written, "handle": written.parse::<Handle>().unwrap().as_str() }))
    .collect();
    vectors("handle.json", &json!({ "construction": "handle, NFKC and full case folding", "cases": made }));
}

#[test]
fn the_blind_handle_is_the_one_of_the_vectors() {
    let key = OprfKey::from_bytes(&{
        let mut scalar = counting::<32>(1);
        scalar[31] &= 0x0f; // below the order of the group
        scalar
    })
    .unwrap();
    let drawn = |seed| {
        let mut bytes = [0; 64];
        Script::new(seed).fill_bytes(&mut bytes);
        hex::encode(bytes)
    };
    let made: Vec<Value> = ["alice", "a.b_c-1", "山田太郎"]
        .into_iter()
        .zip(0..)
        .map(|(handle, number)| {
            let handle: Handle = handle.parse().unwrap();
            let (blinding, blinded) = Blinding::start(&mut Script::new(number), &handle).unwrap();
            let evaluation = key.evaluate(&mut Script::new(number + 100), &blinded).unwrap();
            let tag = blinding.finish(&evaluation, &key.public()).unwrap();
            assert_eq!(key.tag(&handle).unwrap(), tag);
            json!({
                "handle": handle.as_str(), "blind": drawn(number), "proof_random": drawn(number + 100),
                "blinded": hex::encode(blinded), "evaluation": hex::encode(evaluation), "tag": hex::encode(tag),
            })
        })
        .collect();
    let made = json!({
        "construction": "account tag, version 1: VOPRF(ristretto255, SHA-512), then BLAKE3",
        "key": hex::encode(key.to_bytes()), "public": hex::encode(key.public().to_bytes()), "cases": made,
    });
    let kept = vectors("blind_handle.json", &made);
    let public = OprfPublic::from_bytes(&array(&kept, "public")).unwrap();
    for (case, number) in kept["cases"].as_array().unwrap().iter().zip(0..) {
        let handle: Handle = case["handle"].as_str().unwrap().parse().unwrap();
        let (blinding, _) = Blinding::start(&mut Script::new(number), &handle).unwrap();
        assert_eq!(blinding.finish(&bytes(case, "evaluation"), &public).unwrap(), array(case, "tag"));
    }
}

#[test]
fn the_refresh_token_is_the_one_of_the_vectors() {
    let key = RefreshKey::from_bytes(&counting(0));
    let made: Vec<Value> = [(0_u8, 0_u32), (50, 1), (100, 0x0102_0304), (150, u32::MAX)]
        .into_iter()
        .map(|(first, generation)| {
            let (family, secret) = (counting::<16>(first), counting::<32>(first + 16));
            let token = [&[1][..], &family, &generation.to_le_bytes(), &secret].concat();
            json!({
                "family": hex::encode(family), "generation": generation, "secret": hex::encode(secret),
                "token": hex::encode(&token),
                "hash": hex::encode(key.hash(&RefreshToken::from_bytes(&token).unwrap())),
            })
        })
        .collect();
    let made = json!({
        "construction": "refresh token, version 1", "key": hex::encode(key.to_bytes()), "cases": made,
    });
    let kept = vectors("refresh_token.json", &made);
    let key = RefreshKey::from_bytes(&array(&kept, "key"));
    for case in kept["cases"].as_array().unwrap() {
        let token = RefreshToken::from_bytes(&bytes(case, "token")).unwrap();
        assert_eq!(
            (token.family, u64::from(token.generation)),
            (array(case, "family"), case["generation"].as_u64().unwrap())
        );
        assert!(key.matches(&token, &array(case, "hash")));
    }
}

#[test]
fn the_puzzle_is_the_one_of_the_vectors() {
    let made: Vec<Value> = [(0, 0, 0), (1, 1, 8), (2, u64::MAX, 12), (3, 0x0102_0304_0506_0708, 16)]
        .into_iter()
        .map(|(first, counter, bits)| {
            let challenge = counting::<32>(first);
            let nonce = work::solve(&Puzzle::new(challenge, counter, bits).unwrap(), || false).unwrap();
            json!({ "challenge": hex::encode(challenge), "counter": counter, "bits": bits, "least_nonce": nonce })
        })
        .collect();
    let kept = vectors("work.json", &json!({ "construction": "proof of work, version 1", "cases": made }));
    for case in kept["cases"].as_array().unwrap() {
        let of = |name: &str| case[name].as_u64().unwrap();
        let puzzle = Puzzle::new(array(case, "challenge"), of("counter"), of("bits") as u8).unwrap();
        assert!(work::check(&puzzle, of("least_nonce")));
    }
}

#[test]
fn the_device_link_is_the_one_of_the_vectors() {
    let new = || NewDevice::start(&mut Script::new(1));
    let answered = |payload: &[u8]| {
        let (code, offer) = (new().code(), *new().offer());
        let (sender, answer) = Offer::read(&code, &offer).unwrap().answer(&mut Script::new(2)).unwrap();
        (sender.digits().to_string(), *answer, sender.seal(payload).unwrap())
    };
    let made: Vec<Value> = [&b""[..], b"what an existing device hands over", &[0x55; 3000]]
        .into_iter()
        .map(|payload| json!({ "payload": hex::encode(payload), "sealed": hex::encode(answered(payload).2) }))
        .collect();
    let (digits, answer, _) = answered(b"");
    let (mut new_drew, mut existing_drew) = (Drawn { rng: Script::new(1) }, Drawn { rng: Script::new(2) });
    let made = json!({
        "construction": "device link, version 1",
        "link_id": hex::encode(new_drew.take(16)), "new": new_drew.pair(),
        "code": hex::encode(new().code().to_bytes()), "offer": hex::encode(new().offer()),
        "ephemeral": hex::encode(existing_drew.take(32)), "encapsulation": hex::encode(existing_drew.take(32)),
        "answer": hex::encode(answer), "digits": digits, "cases": made,
    });
    let kept = vectors("device_link.json", &made);
    let code = LinkCode::from_bytes(&bytes(&kept, "code")).unwrap();
    Offer::read(&code, &bytes(&kept, "offer")).unwrap();
    let receiver = new().agree(&bytes(&kept, "answer")).unwrap();
    assert_eq!(receiver.digits().to_string(), kept["digits"].as_str().unwrap());
    for case in kept["cases"].as_array().unwrap() {
        assert_eq!(*receiver.open(&bytes(case, "sealed")).unwrap(), bytes(case, "payload"));
    }
}

#[test]
fn what_is_sealed_for_one_is_the_one_of_the_vectors() {
    let secret = SealingSecret::generate(&mut Script::new(1));
    let mut reader = Drawn { rng: Script::new(1) };
    let mut cases = Vec::new();
    for (at, (context, text)) in
        [("", ""), ("cluster, node and generation", "a key of 32 bytes, or thereabouts")].iter().enumerate()
    {
        let seed = at as u8 + 2;
        let sealed =
            sealing::seal(&mut Script::new(seed), &secret.public(), context.as_bytes(), text.as_bytes()).unwrap();
        let mut drew = Drawn { rng: Script::new(seed) };
        cases.push(json!({
            "ephemeral": hex::encode(drew.take(32)), "encapsulation": hex::encode(drew.take(32)),
            "context": hex::encode(context), "plaintext": hex::encode(text), "sealed": hex::encode(sealed),
        }));
    }
    let made = json!({ "construction": "sealed for one, version 1", "reader": reader.pair(), "cases": cases });
    let kept = vectors("sealed_for_one.json", &made);
    for case in kept["cases"].as_array().unwrap() {
        assert_eq!(*secret.open(&bytes(case, "context"), &bytes(case, "sealed")).unwrap(), bytes(case, "plaintext"));
    }
}
