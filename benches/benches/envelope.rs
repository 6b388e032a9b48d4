//! How much do our constructions cost beyond the primitives that they are made of?
//!
//! For each size: the sum of the bare primitives, measured in this run, is the limit, with their key schedules, since each
//! key is used once; our time beside it; and the ratio. Then what a whole message costs, with the ratchet, so that one sees what the rest is worth.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that fails should stop")]

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit as _};
use chacha20poly1305::XChaCha20Poly1305;
use endtoend_benches::{Couple, median, nanoseconds};
use endtoend_crypto_core::aead;
use endtoend_crypto_e2e::internals::EnvelopeKeys;
use endtoend_protocol::{AccountTag, Address, DeviceId, EnvelopeId, UnixMillis};
use ml_kem::kem::Decapsulate as _;
use ml_kem::{B32, DecapsulationKey1024, Seed};
use x25519_dalek::{PublicKey, StaticSecret};

const SIZES: [usize; 3] = [128, 1024, 64 * 1024];
const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);

fn main() {
    println!("median of 41 batches of 4 ms each, one thread; ns per call; ratio = limit / ours, 1.00 is the limit\n");
    println!("{:<34} {:>9} {:>12} {:>12} {:>7} {:>10}", "what", "bytes", "limit ns", "ours ns", "ratio", "MiB/s");
    for size in SIZES {
        let primitives = Primitives::new(size);
        let (seal_limit, open_limit) = (primitives.seal(), primitives.open());
        let (key, nonce, text) = (aead::Key::new([1; 32]), [2; 36], vec![3; size]);
        let sealed = aead::seal(&key, &nonce, b"ad", &text);
        let seal = nanoseconds(|| aead::seal(&key, &nonce, b"ad", &text));
        let open = nanoseconds(|| aead::open(&key, &nonce, b"ad", &sealed).expect("opens"));
        row("PQ AEAD seal", size, seal_limit, seal);
        row("PQ AEAD open", size, open_limit, open);

        let (encapsulate, decapsulate) = key_agreement();
        let keys = EnvelopeKeys::generate(&mut rand::rng());
        let (to, id) = (address(1), EnvelopeId::new(NOW, [4; 10]));
        // The envelope carries a ratchet message of this length; the largest leaves room for the envelope itself.
        let text = vec![3; size.min(62 * 1024)];
        let body = keys.seal(&mut rand::rng(), to, id, &text);
        let seal = nanoseconds(|| keys.seal(&mut rand::rng(), to, id, &text));
        let open = nanoseconds(|| keys.open(to, id, &body).expect("opens"));
        row("PQ envelope seal", text.len(), seal_limit + encapsulate, seal);
        row("PQ envelope open", text.len(), open_limit + decapsulate, open);
        whole_message(size.min(60 * 1024), seal, open);
        println!();
    }
}

fn row(what: &str, size: usize, limit: f64, ours: f64) {
    let rate = size as f64 / ours * 1e9 / 1_048_576.0;
    println!("{what:<34} {size:>9} {limit:>12.0} {ours:>12.0} {:>7.2} {rate:>10.1}", limit / ours);
}

/// The bare ciphers and hashes of one PQ AEAD.
struct Primitives {
    text: Vec<u8>,
    gcm: Aes256Gcm,
    chacha: XChaCha20Poly1305,
}

impl Primitives {
    fn new(size: usize) -> Self {
        let (gcm, chacha) = (Aes256Gcm::new(&[1; 32].into()), XChaCha20Poly1305::new(&[2; 32].into()));
        Self { text: vec![3; size], gcm, chacha }
    }

    fn hashes(&self) -> f64 {
        let derive = nanoseconds(|| {
            let mut keys = [0; 96];
            blake3::Hasher::new_derive_key("context").update(&[1; 32]).finalize_xof().fill(&mut keys);
            keys
        });
        let schedules =
            nanoseconds(|| Aes256Gcm::new(&[1; 32].into())) + nanoseconds(|| XChaCha20Poly1305::new(&[2; 32].into()));
        derive + schedules + nanoseconds(|| blake3::keyed_hash(&[1; 32], &self.text))
    }

    fn seal(&self) -> f64 {
        let mut text = self.text.clone();
        let gcm = nanoseconds(|| {
            self.gcm.encrypt_inout_detached(&[4; 12].into(), b"ad", text.as_mut_slice().into()).unwrap()
        });
        let chacha = nanoseconds(|| {
            self.chacha.encrypt_inout_detached(&[4; 24].into(), b"ad", text.as_mut_slice().into()).unwrap()
        });
        gcm + chacha + self.hashes()
    }

    /// Opening verifies what it decrypts, so each call needs its own ciphertext: the copy is measured and taken off.
    fn open(&self) -> f64 {
        let copy = nanoseconds(|| self.text.clone());
        let mut sealed = self.text.clone();
        let tag = self.gcm.encrypt_inout_detached(&[4; 12].into(), b"ad", sealed.as_mut_slice().into()).unwrap();
        let gcm = nanoseconds(|| {
            let mut text = sealed.clone();
            self.gcm.decrypt_inout_detached(&[4; 12].into(), b"ad", text.as_mut_slice().into(), &tag).unwrap();
            text
        });
        let mut sealed = self.text.clone();
        let tag = self.chacha.encrypt_inout_detached(&[4; 24].into(), b"ad", sealed.as_mut_slice().into()).unwrap();
        let chacha = nanoseconds(|| {
            let mut text = sealed.clone();
            self.chacha.decrypt_inout_detached(&[4; 24].into(), b"ad", text.as_mut_slice().into(), &tag).unwrap();
            text
        });
        gcm + chacha - 2.0 * copy + self.hashes()
    }
}

/// The bare key agreements of one envelope: what its sender computes, and what its reader computes.
fn key_agreement() -> (f64, f64) {
    let ml_kem = DecapsulationKey1024::from_seed(Seed::default());
    let public = ml_kem.encapsulation_key().clone();
    let (ciphertext, _) = public.encapsulate_deterministic(&B32::default());
    let theirs = PublicKey::from(&StaticSecret::from([5; 32]));
    let encapsulate = nanoseconds(|| public.encapsulate_deterministic(&B32::default()));
    let decapsulate = nanoseconds(|| ml_kem.decapsulate(&ciphertext));
    let ephemeral = nanoseconds(|| PublicKey::from(&StaticSecret::from([6; 32])));
    let agree = nanoseconds(|| StaticSecret::from([6; 32]).diffie_hellman(&theirs));
    (encapsulate + ephemeral + agree, decapsulate + agree)
}

fn address(byte: u8) -> Address {
    Address { account: AccountTag::new([byte; 32]), device: DeviceId::FIRST }
}

/// Ratchet and envelope together, in both directions, as a conversation does it.
fn whole_message(size: usize, envelope_seal: f64, envelope_open: f64) {
    let (mut couple, content) = (Couple::new(), vec![b'x'; size]);
    let nanos = |time: std::time::Duration| time.as_nanos() as f64;
    let times = (0..600).map(|_| couple.say(&content, true));
    let (seals, opens) = times.map(|(sealed, opened)| (nanos(sealed), nanos(opened))).unzip();
    let (seal, open) = (median(seals), median(opens));
    row("whole message seal (vs envelope)", size, envelope_seal, seal);
    row("whole message open (vs envelope)", size, envelope_open, open);
    println!("messages per second and core: {:.0} sealed, {:.0} opened", 1e9 / seal, 1e9 / open);
}
