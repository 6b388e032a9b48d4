//! Constructions byte for byte: crypto/vectors.

use super::*;
use crate::{attachment_sealer, blob_bytes, padded_bytes};

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
fn vectors(name: &str, made: &serde_json::Value) -> serde_json::Value {
    let path = format!("{}/../vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(made).unwrap() + "\n").unwrap();
    }
    let kept: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(*made, kept, "{name}: the same inputs make other bytes now");
    kept
}

#[test]
fn the_envelope_is_the_one_of_the_vectors() {
    let (secret, secret_bytes) = envelope::Secret::generate(&mut Script::new(42));
    let to = Address { account: AccountTag::new([7; 32]), device: DeviceId::new(3).unwrap() };
    let mut made = Vec::new();
    for (number, plaintext) in [&b""[..], b"what the ratchet made", &[0x55; 1024]].into_iter().enumerate() {
        let id = EnvelopeId::new(UnixMillis::new(1_700_000_000_000), [number as u8; 10]);
        let (mut ephemeral, mut encapsulation) = ([0; 32], [0; 32]);
        let (mut rng, mut drawn) = (Script::new(number as u8), Script::new(number as u8));
        drawn.fill_bytes(&mut ephemeral);
        drawn.fill_bytes(&mut encapsulation);
        let body = envelope::seal(&mut rng, &secret.public(5), to, id, plaintext);
        assert_eq!(*envelope::open(&secret, to, id, &body).unwrap(), plaintext);
        made.push(serde_json::json!({
            "envelope_id": hex::encode(id.as_bytes()), "plaintext": hex::encode(plaintext),
            "ephemeral": hex::encode(ephemeral), "encapsulation": hex::encode(encapsulation),
            "envelope": hex::encode(&body),
        }));
    }
    let made = serde_json::json!({
        "construction": "PQ envelope, version 1",
        "x25519": hex::encode(&secret_bytes[..32]), "ml_kem_seed": hex::encode(&secret_bytes[32..]), "key_id": 5,
        "recipient_account": hex::encode(to.account.as_bytes()), "recipient_device": 3, "cases": made,
    });
    vectors("pq_envelope.json", &made);
}

#[test]
fn the_chain_is_the_one_of_the_vectors() {
    let (sender, recipient) = (
        Address { account: AccountTag::new([1; 32]), device: DeviceId::FIRST },
        Address { account: AccountTag::new([2; 32]), device: DeviceId::new(4).unwrap() },
    );
    let chain = ChainId(*b"\x00\x01\x02\x03\x04\x05\x06\x07");
    let start = chain_start(chain, sender, recipient);
    let mut previous = start;
    let contents = [vec![], b"one content".to_vec(), vec![0xc0; 2_000]];
    let made: Vec<_> = contents
        .into_iter()
        .zip([1, 2, 0x0102_0304_0506_0708].map(|number| NonZeroU64::new(number).unwrap()))
        .map(|(content, number)| {
            let place = Place { chain, number, previous };
            previous = chain_head(&place, &content);
            serde_json::json!({
                "number": number.get(), "content": hex::encode(content), "place": hex::encode(place.to_bytes()),
                "head": hex::encode(previous.0),
            })
        })
        .collect();
    let made = serde_json::json!({
        "construction": "message chain, version 1", "chain": hex::encode(chain.0),
        "sender": hex::encode(session::address_bytes(sender)), "recipient": hex::encode(session::address_bytes(recipient)),
        "start": hex::encode(start.0), "cases": made,
    });
    vectors("message_chain.json", &made);
}

#[test]
fn a_chain_is_bound_to_its_devices_its_order_and_its_contents() {
    let address =
        |byte, device| Address { account: AccountTag::new([byte; 32]), device: DeviceId::new(device).unwrap() };
    let chain = ChainId([7; 8]);
    let starts = [
        chain_start(chain, address(1, 1), address(2, 1)),
        chain_start(chain, address(2, 1), address(1, 1)),
        chain_start(chain, address(1, 2), address(2, 1)),
        chain_start(chain, address(1, 1), address(2, 2)),
        chain_start(ChainId([8; 8]), address(1, 1), address(2, 1)),
    ];
    let [previous, ..] = starts;
    let place = |number, previous| Place { chain, number: NonZeroU64::new(number).unwrap(), previous };
    let heads = [
        chain_head(&place(1, previous), b"a"),
        chain_head(&place(2, previous), b"a"),
        chain_head(&place(1, starts[1]), b"a"),
        chain_head(&place(1, previous), b"b"),
        chain_head(&place(1, previous), b""),
    ];
    let all: Vec<_> = starts.into_iter().chain(heads).collect();
    for (at, head) in all.iter().enumerate() {
        assert!(!all[..at].contains(head), "{at}");
    }
}

#[test]
fn the_padding_is_the_one_of_the_vectors() {
    let (sender, recipient) = ([&[1; 32][..], &[1]].concat(), [&[2; 32][..], &[4]].concat());
    let made: Vec<_> = [0, 1, 186, 187, 5_000]
        .into_iter()
        .map(|len| {
            let content = vec![0xc0; len];
            let mut inner = padding::framed(&[&sender, &recipient], &content);
            padding::to_size_class(&mut inner).unwrap();
            let mut outer = padding::framed(&[&sender, &[2]], &content);
            padding::to_envelope_step(&mut outer);
            serde_json::json!({
                "content": hex::encode(&content), "ratchet_plaintext": hex::encode(&*inner),
                "envelope_plaintext": hex::encode(&*outer),
            })
        })
        .collect();
    let made = serde_json::json!({
        "construction": "frames and padding, version 1", "sender": hex::encode(sender),
        "recipient": hex::encode(recipient), "kind": 2, "cases": made,
    });
    vectors("padding.json", &made);
}

#[test]
fn the_attachment_is_the_one_of_the_vectors() {
    let (key, blob) = (std::array::from_fn(|at| at as u8), std::array::from_fn(|at| 0x80 | at as u8));
    let made: Vec<_> = [0_u64, 1, 1_000, 65_536, 65_537, 200_000]
        .into_iter()
        .map(|bytes| {
            let file: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
            let mut padded = file.clone();
            padded.resize(usize::try_from(padded_bytes(bytes)).unwrap(), 0);
            let mut sealer = attachment_sealer(key, &blob);
            let parts: Vec<&[u8]> = padded.chunks(64 * 1024).collect();
            let (last, before) = parts.split_last().map_or((&[][..], &[][..]), |(last, before)| (*last, before));
            let mut sealed: Vec<u8> = before.iter().flat_map(|part| sealer.seal(part).unwrap()).collect();
            sealed.extend(sealer.seal_last(last).unwrap());
            assert_eq!(sealed.len() as u64, blob_bytes(bytes));
            serde_json::json!({
                "bytes": bytes, "padded_bytes": padded.len(), "hash": hex::encode(blake3::hash(&file).as_bytes()),
                "blob_bytes": sealed.len(), "blob_blake3": hex::encode(blake3::hash(&sealed).as_bytes()),
                "blob_begin": hex::encode(&sealed[..64]), "blob_end": hex::encode(&sealed[sealed.len() - 64..]),
            })
        })
        .collect();
    let made = serde_json::json!({
        "construction": "attachment, version 1", "key": hex::encode(key), "blob": hex::encode(blob),
        "file": "byte n is n mod 251", "cases": made,
    });
    vectors("attachment.json", &made);
}
