//! The secure channel: what goes through, what does not, and that another implementation of the pattern agrees.
#![expect(clippy::unwrap_used, reason = "test code: what fails here fails the test")]

use std::time::Duration;

use endtoend_crypto_core::channel::{
    Assembler, CHUNK_BYTES_MAX, Channel, ChannelError, INTRODUCTION_BYTES, Initiator, Introduction, MESSAGE_BYTES_MAX,
    RECORD_OVERHEAD, REKEY_AGE, REKEY_RECORDS, StaticKeys, StaticPublic, Step, chunks, fingerprint, respond,
};
use endtoend_crypto_core::signature::SigningKey;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

const NOW: u64 = 1_800_000_000_000;
const DAY: u64 = 86_400_000;
const SKEW: u64 = 60_000;
const YOUNG: Duration = Duration::ZERO;

struct Server {
    identity: SigningKey,
    keys: StaticKeys,
    introduction: Vec<u8>,
}

fn rng(seed: u8) -> StdRng {
    StdRng::from_seed([seed; 32])
}

impl Server {
    fn new(seed: u8) -> Self {
        let identity = SigningKey::generate(&mut rng(seed));
        let keys = StaticKeys::generate(&mut rng(seed + 100));
        let introduction = Introduction::sign(&identity, keys.public(), NOW, NOW + 2 * DAY);
        Self { identity, keys, introduction }
    }

    fn fingerprint(&self) -> [u8; 32] {
        fingerprint(&self.identity.verifying_key())
    }
}

fn start(server: &Server) -> (Initiator, Vec<u8>) {
    let introduction = Introduction::read(&server.introduction).unwrap();
    introduction.check(&server.fingerprint(), NOW, SKEW).unwrap();
    Initiator::start(&mut rng(9), &introduction.keys, introduction.as_bytes()).unwrap()
}

/// Client and server of a new channel.
fn established() -> (Channel, Channel) {
    let server = Server::new(1);
    let (initiator, initiate) = start(&server);
    let (answer, node) = respond(&mut rng(10), &server.keys, &server.introduction, &initiate).unwrap();
    let client = initiator.finish(&answer).unwrap();
    (client, node)
}

#[test]
fn frames_go_both_ways_and_both_ends_know_the_same_binding() {
    let (mut client, mut node) = established();
    assert_eq!(client.binding, node.binding);
    for frame in [&b""[..], b"a", &[7; 256 * 1024]] {
        let record = client.sealer.seal(frame, YOUNG).unwrap();
        assert_eq!(record.len(), frame.len() + RECORD_OVERHEAD);
        assert_eq!(node.opener.open(&record).unwrap(), frame);
        let record = node.sealer.seal(frame, YOUNG).unwrap();
        assert_eq!(client.opener.open(&record).unwrap(), frame);
    }
}

#[test]
fn two_channels_share_nothing() {
    let server = Server::new(1);
    let (initiator, initiate) = start(&server);
    let (answer, first) = respond(&mut rng(10), &server.keys, &server.introduction, &initiate).unwrap();
    let (_, mut replayed) = respond(&mut rng(11), &server.keys, &server.introduction, &initiate).unwrap();
    let mut client = initiator.finish(&answer).unwrap();
    assert_ne!(first.binding, replayed.binding, "a replayed Initiate leads to another channel");
    let record = client.sealer.seal(b"for the first", YOUNG).unwrap();
    assert_eq!(replayed.opener.open(&record), Err(ChannelError::Forged));
}

// --- what an introduction must be ---

#[test]
fn an_introduction_is_of_one_identity_and_of_its_time() {
    let (server, other) = (Server::new(1), Server::new(2));
    assert_eq!(server.introduction.len(), INTRODUCTION_BYTES);
    let read = Introduction::read(&server.introduction).unwrap();
    let check = |pin: &Server, now| read.check(&pin.fingerprint(), now, SKEW);
    assert_eq!(check(&server, NOW), Ok(()));
    assert_eq!(check(&other, NOW), Err(ChannelError::WrongIdentity));
    assert_eq!(check(&server, NOW - SKEW), Ok(()));
    assert_eq!(check(&server, NOW - SKEW - 1), Err(ChannelError::NotYetValid));
    assert_eq!(check(&server, NOW + 2 * DAY + SKEW - 1), Ok(()));
    assert_eq!(check(&server, NOW + 2 * DAY + SKEW), Err(ChannelError::Expired));
    // The other's identity over this server's keys does not help who lacks its signature.
    let mut mixed = server.introduction;
    mixed[1..2625].copy_from_slice(&other.introduction[1..2625]);
    assert_eq!(Introduction::read(&mixed).unwrap_err(), ChannelError::BadSignature);
}

#[test]
fn every_byte_of_an_introduction_is_signed() {
    let server = Server::new(1);
    for at in (0..INTRODUCTION_BYTES).step_by(97).chain([0, 1, 2624, 2625, 2640, 2641, INTRODUCTION_BYTES - 1]) {
        let mut bent = server.introduction.clone();
        bent[at] ^= 0x10;
        let error = Introduction::read(&bent).unwrap_err();
        assert!(matches!(error, ChannelError::BadSignature | ChannelError::Malformed), "byte {at}: {error:?}");
    }
    for len in [0, 1, 2624, INTRODUCTION_BYTES - 1] {
        assert_eq!(Introduction::read(&server.introduction[..len]).unwrap_err(), ChannelError::Malformed);
    }
    let longer = [&server.introduction[..], &[0]].concat();
    assert_eq!(Introduction::read(&longer).unwrap_err(), ChannelError::Malformed);
}

// --- what a handshake refuses ---

#[test]
fn only_the_holder_of_the_static_keys_can_answer() {
    let server = Server::new(1);
    let (initiator, initiate) = start(&server);
    // An impostor repeats the introduction, which everybody can have, but has other keys.
    let impostor = StaticKeys::generate(&mut rng(50));
    let refused = respond(&mut rng(10), &impostor, &server.introduction, &initiate);
    assert_eq!(refused.unwrap_err(), ChannelError::Forged);
    let (_, to_impostor) = Initiator::start(&mut rng(9), impostor.public(), &server.introduction).unwrap();
    let (answer, _) = respond(&mut rng(10), &impostor, &server.introduction, &to_impostor).unwrap();
    assert_eq!(initiator.finish(&answer).unwrap_err(), ChannelError::Forged);
}

#[test]
fn half_of_the_static_keys_is_not_enough() {
    let server = Server::new(1);
    let (mine, theirs) = (StaticKeys::generate(&mut rng(50)).public().to_bytes(), server.keys.public().to_bytes());
    // The client believes in one half of another server: the true server cannot answer it, whichever half it is.
    for split in [[&mine[..32], &theirs[32..]].concat(), [&theirs[..32], &mine[32..]].concat()] {
        let keys = StaticPublic::from_bytes(split.as_slice().try_into().unwrap()).unwrap();
        let (_, initiate) = Initiator::start(&mut rng(9), &keys, &server.introduction).unwrap();
        let refused = respond(&mut rng(10), &server.keys, &server.introduction, &initiate);
        assert_eq!(refused.unwrap_err(), ChannelError::Forged);
    }
}

#[test]
fn both_ends_must_have_seen_the_same_introduction() {
    let server = Server::new(1);
    let (_, initiate) = start(&server);
    let later = Introduction::sign(&server.identity, server.keys.public(), NOW + 1, NOW + 2 * DAY);
    let refused = respond(&mut rng(10), &server.keys, &later, &initiate);
    assert_eq!(refused.unwrap_err(), ChannelError::Forged);
}

#[test]
fn flipped_bits_and_cut_messages_are_refused() {
    let server = Server::new(1);
    let (_, initiate) = start(&server);
    let (answer, _) = respond(&mut rng(10), &server.keys, &server.introduction, &initiate).unwrap();
    for at in (0..initiate.len()).step_by(61).chain([1567, 1568, 1599, 1600, 3167, 3168, 3183]) {
        for bit in [0, 7] {
            let mut bent = initiate.clone();
            bent[at] ^= 1 << bit;
            let refused = respond(&mut rng(10), &server.keys, &server.introduction, &bent);
            assert!(matches!(refused, Err(ChannelError::Forged | ChannelError::BadKey)), "byte {at} of Initiate");
            let mut bent = answer.clone();
            bent[at] ^= 1 << bit;
            let refused = start(&server).0.finish(&bent);
            assert!(matches!(refused, Err(ChannelError::Forged | ChannelError::BadKey)), "byte {at} of Respond");
        }
    }
    for len in [0, 1, 1568, 3168, 3183] {
        let cut = respond(&mut rng(10), &server.keys, &server.introduction, &initiate[..len]);
        assert_eq!(cut.unwrap_err(), ChannelError::Malformed);
        assert_eq!(start(&server).0.finish(&answer[..len]).unwrap_err(), ChannelError::Malformed);
    }
    // An Initiate sent back is no Respond.
    assert_eq!(start(&server).0.finish(&initiate).unwrap_err(), ChannelError::Forged);
}

#[test]
fn keys_that_no_honest_side_has_are_refused() {
    let server = Server::new(1);
    let (_, initiate) = start(&server);
    let mut low_order = initiate.clone();
    low_order[1568..1600].fill(0);
    let refused = respond(&mut rng(10), &server.keys, &server.introduction, &low_order);
    assert_eq!(refused.unwrap_err(), ChannelError::BadKey);
    // Coefficients above the modulus (FIPS 203, section 7.2).
    let mut out_of_range = initiate;
    out_of_range[1600..1700].fill(0xff);
    let refused = respond(&mut rng(10), &server.keys, &server.introduction, &out_of_range);
    assert_eq!(refused.unwrap_err(), ChannelError::BadKey);
    let mut keys: [u8; 1600] = server.keys.public().to_bytes().try_into().unwrap();
    keys[..32].fill(0);
    let keys = StaticPublic::from_bytes(&keys).unwrap();
    assert_eq!(Initiator::start(&mut rng(9), &keys, b"").unwrap_err(), ChannelError::BadKey);
}

// --- what a channel refuses ---

/// The client's next record reaches the node as `bend` leaves it, and the channel is over.
fn breaks(bend: impl FnOnce(&mut Channel, &mut Channel) -> Vec<u8>, expected: ChannelError) {
    let (mut client, mut node) = established();
    let record = bend(&mut client, &mut node);
    assert_eq!(node.opener.open(&record), Err(expected));
    let honest = client.sealer.seal(b"honest", YOUNG).unwrap();
    assert_eq!(node.opener.open(&honest), Err(expected), "a broken channel stays broken");
}

#[test]
fn replayed_reordered_reflected_cut_and_foreign_records_break_the_channel() {
    breaks(
        |client, node| {
            let record = client.sealer.seal(b"once", YOUNG).unwrap();
            node.opener.open(&record).unwrap();
            record
        },
        ChannelError::Forged,
    );
    breaks(
        |client, _| {
            client.sealer.seal(b"left out", YOUNG).unwrap();
            client.sealer.seal(b"too early", YOUNG).unwrap()
        },
        ChannelError::Forged,
    );
    breaks(|_, node| node.sealer.seal(b"the node's own", YOUNG).unwrap(), ChannelError::Forged);
    breaks(|client, _| client.sealer.seal(b"cut", YOUNG).unwrap()[1..].to_vec(), ChannelError::Forged);
    breaks(|client, _| client.sealer.seal(b"cut", YOUNG).unwrap()[..15].to_vec(), ChannelError::Malformed);
    breaks(|_, _| Vec::new(), ChannelError::Malformed);
    breaks(|_, _| b"a frame outside of the channel".to_vec(), ChannelError::Forged);
}

#[test]
fn every_flipped_bit_of_a_record_breaks_the_channel() {
    let bits = 8 * (5 + RECORD_OVERHEAD);
    for bit in 0..bits {
        breaks(
            |client, _| {
                let mut record = client.sealer.seal(b"frame", YOUNG).unwrap();
                record[bit / 8] ^= 1 << (bit % 8);
                record
            },
            ChannelError::Forged,
        );
    }
}

#[test]
fn a_key_is_changed_after_its_time_and_the_old_one_opens_nothing_more() {
    let (mut client, mut node) = established();
    let mut say = |client: &mut Channel, age| {
        let record = client.sealer.seal(b"frame", age).unwrap();
        node.opener.open(&record)
    };
    for age in [YOUNG, REKEY_AGE - Duration::from_nanos(1), REKEY_AGE, REKEY_AGE * 2, REKEY_AGE * 50] {
        assert_eq!(say(&mut client, age).unwrap(), b"frame", "{age:?}");
    }
    // The node's key was changed by the flags inside: a record under a key that was not changed does not open.
    let (mut steady, _) = established();
    let mut record = Vec::new();
    for _ in 0..6 {
        record = steady.sealer.seal(b"frame", YOUNG).unwrap();
    }
    assert_eq!(node.opener.open(&record), Err(ChannelError::Forged));
}

#[test]
fn a_key_is_changed_after_so_many_records() {
    let (mut client, mut node) = established();
    let mut last = Vec::new();
    for number in 1..=REKEY_RECORDS + 1 {
        last = client.sealer.seal(b"", YOUNG).unwrap();
        if number <= REKEY_RECORDS {
            assert_eq!(node.opener.open(&last).unwrap(), b"", "record {number}");
        }
    }
    assert_eq!(node.opener.open(&last).unwrap(), b"", "under the next key");
}

// --- chunks ---

fn assemble(step: Step, pieces: &[Vec<u8>]) -> Result<Option<Vec<u8>>, ChannelError> {
    let mut assembler = Assembler::new(step);
    pieces.iter().try_fold(None, |_, piece| assembler.push(piece))
}

#[test]
fn chunks_of_another_step_order_or_size_are_refused() {
    let message = vec![5; 2 * CHUNK_BYTES_MAX + 10];
    let cut = chunks(Step::Introduction, &message);
    assert_eq!(cut.iter().map(Vec::len).collect::<Vec<_>>(), [4098, 4098, 12]);
    assert_eq!(assemble(Step::Introduction, &cut), Ok(Some(message)));
    assert_eq!(assemble(Step::Introduction, &cut[..2]), Ok(None));
    let refused = |pieces: &[Vec<u8>], error| assert_eq!(assemble(Step::Introduction, pieces), Err(error));
    assert_eq!(assemble(Step::Respond, &cut), Err(ChannelError::Malformed));
    refused(&[cut[0].clone(), cut[0].clone()], ChannelError::Malformed);
    refused(&[cut[0].clone(), cut[2].clone()], ChannelError::Malformed);
    refused(&[vec![]], ChannelError::Malformed);
    refused(&[vec![1]], ChannelError::Malformed);
    refused(&[vec![1, 0]], ChannelError::Malformed);
    refused(&[vec![1, 1, 9]], ChannelError::Malformed);
    refused(&[[&[1, 0][..], &[0; CHUNK_BYTES_MAX + 1]].concat()], ChannelError::TooLarge);
    refused(&[[&[1, 4][..], &[0; CHUNK_BYTES_MAX]].concat()], ChannelError::TooLarge);
    assert!(chunks(Step::Initiate, &vec![0; MESSAGE_BYTES_MAX + 1]).is_empty());
}

proptest! {
    #[test]
    fn what_is_cut_is_put_together(message in prop::collection::vec(any::<u8>(), 1..=MESSAGE_BYTES_MAX)) {
        prop_assert_eq!(assemble(Step::Initiate, &chunks(Step::Initiate, &message)), Ok(Some(message)));
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..4_000)) {
        let server = Server::new(1);
        prop_assert!(respond(&mut rng(10), &server.keys, &server.introduction, &bytes).is_err());
        prop_assert!(start(&server).0.finish(&bytes).is_err());
        prop_assert!(Introduction::read(&bytes).is_err());
        let _ = Assembler::new(Step::Initiate).push(&bytes);
    }
}

#[test]
fn nothing_secret_is_shown() {
    let server = Server::new(1);
    let (initiator, initiate) = start(&server);
    assert_eq!(format!("{initiator:?} {:?}", server.keys), "Initiator(..) StaticKeys(..)");
    let (_, channel) = respond(&mut rng(10), &server.keys, &server.introduction, &initiate).unwrap();
    let shown = format!("{:?} {:?}", channel.sealer, channel.opener);
    assert_eq!(shown, "Sealer(..) Opener(..)");
}

/// An implementation of the pattern by others. The KEM itself is ours: it has vectors of its own.
mod other {
    use clatter::bytearray::{ByteArray as _, HeapArray, SensitiveByteArray};
    use clatter::crypto::cipher::AesGcm;
    use clatter::crypto::dh::X25519;
    use clatter::crypto::hash::Sha512;
    use clatter::crypto::rng::DefaultRng;
    use clatter::error::KemResult;
    use clatter::handshakepattern::noise_hybrid_nk;
    use clatter::traits::{CryptoComponent, Dh as _, Handshaker as _, Kem, Rng};
    use clatter::{HybridHandshake, HybridHandshakeParams, KeyPair};
    use ml_kem::array::Array;
    use ml_kem::kem::{Decapsulate as _, KeyExport as _};
    use ml_kem::{B32, DecapsulationKey1024, EncapsulationKey1024, Seed};

    use super::*;

    type Handshake = HybridHandshake<X25519, MlKem1024, MlKem1024, AesGcm, Sha512>;
    type Params<'a> = HybridHandshakeParams<'a, X25519, MlKem1024, MlKem1024>;

    #[derive(Clone)]
    struct MlKem1024;

    impl CryptoComponent for MlKem1024 {
        fn name() -> &'static str {
            "MLKEM1024"
        }
    }

    impl Kem for MlKem1024 {
        type SecretKey = SensitiveByteArray<HeapArray<64>>;
        type PubKey = HeapArray<1568>;
        type Ct = HeapArray<1568>;
        type Ss = SensitiveByteArray<[u8; 32]>;

        fn genkey_rng<R: Rng>(rng: &mut R) -> KemResult<KeyPair<Self::PubKey, Self::SecretKey>> {
            let mut seed = Seed::default();
            rng.fill_bytes(&mut seed);
            let public = DecapsulationKey1024::from_seed(seed).encapsulation_key().to_bytes();
            Ok(KeyPair { public: HeapArray::from_slice(&public), secret: SensitiveByteArray::from_slice(&seed) })
        }

        fn encapsulate<R: Rng>(key: &[u8], rng: &mut R) -> KemResult<(Self::Ct, Self::Ss)> {
            let mut randomness = B32::default();
            rng.fill_bytes(&mut randomness);
            let key = EncapsulationKey1024::new(&Array::try_from(key).unwrap()).unwrap();
            let (ciphertext, shared) = key.encapsulate_deterministic(&randomness);
            Ok((HeapArray::from_slice(&ciphertext), SensitiveByteArray::from_slice(&shared)))
        }

        fn decapsulate(ciphertext: &[u8], seed: &[u8]) -> KemResult<Self::Ss> {
            let key = DecapsulationKey1024::from_seed(Array::try_from(seed).unwrap());
            let shared = key.decapsulate(&Array::try_from(ciphertext).unwrap());
            Ok(SensitiveByteArray::from_slice(&shared))
        }
    }

    const INTRODUCTION: &[u8] = b"the same at both ends";

    fn prologue() -> Vec<u8> {
        [b"endtoend 2026-11 secure channel v1", INTRODUCTION].concat()
    }

    #[test]
    fn our_client_speaks_with_their_server() {
        let mut random = DefaultRng;
        let s = X25519::genkey_rng(&mut random).unwrap();
        let s_kem = MlKem1024::genkey_rng(&mut random).unwrap();
        let public: Vec<u8> = [&s.public[..], s_kem.public.as_slice()].concat();
        let prologue = prologue();
        let params = Params::new(noise_hybrid_nk(), false).with_prologue(&prologue).with_s(s).with_s_kem(s_kem);
        let mut theirs = Handshake::new(params).unwrap();

        let keys = StaticPublic::from_bytes(public.as_slice().try_into().unwrap()).unwrap();
        let (initiator, initiate) = Initiator::start(&mut rng(9), &keys, INTRODUCTION).unwrap();
        let mut buffer = vec![0; 8192];
        assert_eq!(theirs.read_message(&initiate, &mut buffer).unwrap(), 0);
        let length = theirs.write_message(&[], &mut buffer).unwrap();
        let mut ours = initiator.finish(&buffer[..length]).unwrap();
        let mut theirs = theirs.finalize().unwrap();
        assert_eq!(ours.binding, theirs.get_handshake_hash().as_slice()[..32]);
        // A record of ours is a transport message of theirs, with the flags at its end.
        let record = ours.sealer.seal(b"ours", YOUNG).unwrap();
        assert_eq!(theirs.receive_vec(&record).unwrap(), b"ours\0");
        assert_eq!(ours.opener.open(&theirs.send_vec(b"theirs\0").unwrap()).unwrap(), b"theirs");
        // They change keys as we do.
        let record = ours.sealer.seal(b"late", REKEY_AGE).unwrap();
        assert_eq!(theirs.receive_vec(&record).unwrap(), b"late\x01");
        theirs.rekey_receiver().unwrap();
        let record = ours.sealer.seal(b"later", REKEY_AGE).unwrap();
        assert_eq!(theirs.receive_vec(&record).unwrap(), b"later\0");
    }

    #[test]
    fn their_client_speaks_with_our_server() {
        let keys = StaticKeys::generate(&mut rng(3));
        let public = keys.public().to_bytes();
        let prologue = prologue();
        let params = Params::new(noise_hybrid_nk(), true)
            .with_prologue(&prologue)
            .with_rs(public[..32].try_into().unwrap())
            .with_rs_kem(HeapArray::from_slice(&public[32..]));
        let mut theirs = Handshake::new(params).unwrap();
        let mut buffer = vec![0; 8192];
        let length = theirs.write_message(&[], &mut buffer).unwrap();
        let (answer, mut ours) = respond(&mut rng(10), &keys, INTRODUCTION, &buffer[..length]).unwrap();
        theirs.read_message(&answer, &mut buffer).unwrap();
        let mut theirs = theirs.finalize().unwrap();
        let record = ours.sealer.seal(b"ours", YOUNG).unwrap();
        assert_eq!(theirs.receive_vec(&record).unwrap(), b"ours\0");
        assert_eq!(ours.opener.open(&theirs.send_vec(b"theirs\0").unwrap()).unwrap(), b"theirs");
    }
}
