//! How often the hot paths ask for memory. Each figure is exact and the same in every run.
#![expect(clippy::unwrap_used, reason = "a measurement that fails should stop")]

use std::time::Duration;

use allocation_counter::measure;
use endtoend_crypto_core::aead::{self, Key};
use endtoend_crypto_core::channel::{Initiator, StaticKeys, respond};
use endtoend_crypto_e2e::internals::EnvelopeKeys;
use endtoend_protocol::{
    AccountTag, Address, ClientFrame, Deliver, DeliveryNumber, DeviceId, Envelope, EnvelopeId, ServerFrame, UnixMillis,
};

fn main() {
    println!("{:<28} {:>12} {:>14}", "what, at 2 304 bytes", "allocations", "bytes in all");
    let rng = &mut rand::rng();
    let (text, nonce, key) = (vec![3; 2304], [2; aead::NONCE_BYTES], Key::new([1; 32]));
    let sealed = aead::seal(&key, &nonce, b"ad", &text);
    row("PQ AEAD seal", || drop(aead::seal(&key, &nonce, b"ad", &text)));
    row("PQ AEAD open", || drop(aead::open(&key, &nonce, b"ad", &sealed).unwrap()));

    let (keys, id) = (EnvelopeKeys::generate(rng), EnvelopeId::new(UnixMillis::new(1), [4; 10]));
    let to = Address { account: AccountTag::new([1; 32]), device: DeviceId::FIRST };
    let body = keys.seal(rng, to, id, &text);
    row("PQ envelope seal", || drop(keys.seal(&mut rand::rng(), to, id, &text)));
    row("PQ envelope open", || drop(keys.open(to, id, &body).unwrap()));

    let static_keys = StaticKeys::generate(rng);
    let (initiator, initiate) = Initiator::start(rng, static_keys.public(), b"").unwrap();
    let (answer, mut server) = respond(rng, &static_keys, b"", &initiate).unwrap();
    let mut client = initiator.finish(&answer).unwrap();
    let mut record = Vec::new();
    row("record seal", || record = client.sealer.seal(&text, Duration::ZERO).unwrap());
    row("record open", || drop(server.opener.open(&record).unwrap()));

    let send = ClientFrame::Send(Envelope { id, to, body: text.clone().into(), devices_version: 1 });
    let deliver = ServerFrame::Deliver(Deliver {
        delivery: DeliveryNumber(1),
        id,
        accepted_at: UnixMillis::new(1),
        body: text.into(),
    });
    let (sent, delivered) = (send.encode(), deliver.encode());
    row("Send encode", || drop(send.encode()));
    row("Send decode", || drop(ClientFrame::decode(sent.clone()).unwrap()));
    row("Deliver encode", || drop(deliver.encode()));
    row("Deliver decode", || drop(ServerFrame::decode(delivered.clone()).unwrap()));
}

fn row(what: &str, work: impl FnOnce()) {
    let seen = measure(work);
    println!("{what:<28} {:>12} {:>14}", seen.count_total, seen.bytes_total);
}
