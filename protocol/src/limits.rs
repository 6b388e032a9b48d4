//! Every bound of the protocol, with its unit and its reason.

use std::time::Duration;

/// Largest frame in bytes. Room for a key upload with 50 ML-KEM keys, small enough to buffer per connection.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;
/// Largest sealed envelope in bytes: what one `Send` can make a node hold.
pub const ENVELOPE_BYTES_MAX: usize = 64 * 1024;
/// Longest text of one message in bytes of UTF-8: what fits the largest padding class.
pub const TEXT_BYTES_MAX: usize = 60 * 1024;
/// The same of a text that answers another, disappears, or takes the place of another: room for what says so.
pub const TEXT_BYTES_MARKED_MAX: usize = TEXT_BYTES_MAX - 64;
/// Envelopes that carry one message to one device, when those before did not open.
pub const COPIES_MAX: usize = 4;
/// Longest reaction in bytes of UTF-8: an emoji of many parts, and no text.
pub const EMOJI_BYTES_MAX: usize = 64;
/// Messages that one receipt names: a page of them.
pub const RECEIPT_IDS_MAX: usize = 64;
/// Longest life of a message that disappears: a year.
pub const LIFETIME_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// Longest file in bytes that a message names.
pub const FILE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// Longest name of a file in bytes of UTF-8: below the 255 of most file systems, with room for what is put beside it.
pub const FILE_NAME_BYTES_MAX: usize = 200;
/// Longest kind of a file in bytes: RFC 6838 has 127 for each half, and nobody uses them.
pub const MEDIA_TYPE_BYTES_MAX: usize = 127;
/// Longest side of a picture that is shown, in pixels.
pub const PICTURE_SIDE_MAX: u32 = 16_384;
/// Most pixels of a picture that is shown: 256 MiB when it is unpacked.
pub const PICTURE_PIXELS_MAX: u64 = 64 * 1024 * 1024;
/// Longest link in a card in bytes: as long as a person's link may be.
pub const CARD_LINK_BYTES_MAX: usize = 1024;
/// Longest picture of a face in bytes: sharp at the size at which faces are shown, and half of an envelope.
pub const FACE_PICTURE_BYTES_MAX: usize = 32 * 1024;
/// Longest side of it in pixels.
pub const FACE_PICTURE_SIDE_MAX: u32 = 512;
/// Values of the waveform of something spoken: as many as a line has room for.
pub const WAVEFORM_BYTES_MAX: usize = 128;
/// Length in bytes of the place of a message in its chain.
pub const PLACE_BYTES: usize = 32;
/// Longest handle in bytes of UTF-8 that a message may name its sender by: 32 characters of any script.
pub const HANDLE_BYTES_MAX: usize = 128;
/// Longest OPAQUE message in bytes. The largest is 320; the rest is for other suites.
pub const OPAQUE_BYTES_MAX: usize = 1024;

/// Longest password of a server in bytes.
pub const SERVER_PASSWORD_BYTES_MAX: usize = 256;
/// Length in bytes of an invitation: 128 random bits.
pub const INVITE_BYTES: usize = 16;
/// Longest backup in bytes: identity, contacts, settings.
pub const BACKUP_BYTES_MAX: usize = 64 * 1024;
/// Longest name of a device in bytes, sealed: 64 characters of any script.
pub const DEVICE_NAME_BYTES_MAX: usize = 512;
/// Longest offer of a new device in bytes: its hybrid key, and room for other suites.
pub const LINK_OFFER_BYTES_MAX: usize = 4 * 1024;
/// Longest answer to one in bytes.
pub const LINK_SEALED_BYTES_MAX: usize = 64 * 1024;
/// People that an existing device tells a new one about: what fits beside the rest, with the longest handles.
pub const ACQUAINTANCES_MAX: usize = 240;
/// How long a new device waits for an existing one.
pub const LINK_LIFE: Duration = Duration::from_secs(10 * 60);
/// Most leading zero bits that a server asks for: some seconds on a phone.
pub const WORK_BITS_MAX: u8 = 24;

/// Devices of one account.
pub const DEVICES_MAX: usize = 8;
/// People whom one account has accepted or blocked.
pub const RELATIONS_MAX: u32 = 20_000;
/// Devices that wait for an existing one at one time, on all nodes together.
pub const LINKS_MAX: u32 = 1_000;
/// Largest device number: what a Signal protocol address can carry.
pub const DEVICE_ID_MAX: u32 = 127;
/// One-time pre-keys in one upload.
pub const ONE_TIME_PRE_KEYS_UPLOAD_MAX: usize = 100;
/// One-time ML-KEM pre-keys in one upload: 50 of 1.6 KiB stay well inside a frame.
pub const ONE_TIME_KEM_PRE_KEYS_UPLOAD_MAX: usize = 50;
/// One-time keys of one kind that a node keeps for one device.
pub const ONE_TIME_KEYS_STORED_MAX: usize = 200;
/// Below this many one-time keys of a kind a client uploads more.
pub const ONE_TIME_KEYS_LOW_WATER: u32 = 20;

/// Longest blob in bytes: an attachment of 2 GiB, and room for its seals.
pub const BLOB_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024 + 16 * 1024 * 1024;
/// Length of all parts of a blob but the last in bytes: well inside a frame.
pub const BLOB_PART_BYTES_MAX: usize = 192 * 1024;
/// Length in bytes of a blob's name: 128 random bits.
pub const BLOB_ID_BYTES: usize = 16;
/// Length in bytes of the secret with which a blob is written and removed.
pub const BLOB_SECRET_BYTES: usize = 32;

/// Envelopes that may wait for one device.
pub const QUEUE_ENVELOPES_MAX: u32 = 10_000;
/// Of those, envelopes from strangers: what is read before somebody decides, and too few to fill a queue.
pub const QUEUE_REQUESTS_MAX: u32 = 100;
/// How long an envelope waits for its device.
pub const QUEUE_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// `Send` frames of one connection that wait for their answer.
pub const SEND_WINDOW: u32 = 64;
/// `Deliver` frames of one attachment that wait for their `Ack`.
pub const DELIVER_WINDOW: u32 = 64;
/// Bytes of bodies in those frames: with large envelopes this is reached first.
pub const DELIVER_WINDOW_BYTES: usize = 1024 * 1024;

/// From the TCP connection to TLS, from there to the request, and from there to the `Hello`, each. A node does not know who comes through
/// Tor, where an answer takes some seconds now and then, and the last of these steps has two. It costs nothing but time: guests have half of the
/// places, and the oldest goes when those are taken.
pub const HELLO_DEADLINE: Duration = Duration::from_secs(30);
/// From the `Hello` to an authenticated connection: leaves a slow device time for Argon2id.
pub const LOGIN_DEADLINE: Duration = Duration::from_secs(60);
/// A node pings a connection this often.
pub const PING_INTERVAL: Duration = Duration::from_secs(30);
/// A connection silent this long is closed: two pings and their travel.
pub const IDLE_MAX: Duration = Duration::from_secs(75);
/// Longest wait that a node that stops may ask of a client. Clients cut what is longer: no server can send one away for good.
pub const COME_BACK_MAX: Duration = Duration::from_secs(120);
/// Pings, acknowledgements of nothing new and sends beyond the window that a connection may say at once.
pub const CHATTER_MAX: u32 = 512;
/// After those, one more each so often.
pub const CHATTER_EVERY: Duration = Duration::from_millis(50);
/// Refusals on one connection before the node closes it.
pub const REFUSALS_MAX: u32 = 16;
/// Difference between two clocks that is not held against anyone.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);
/// How long a challenge is good for.
pub const CHALLENGE_LIFE: Duration = Duration::from_secs(60);
/// Lifetime of a refresh token that is not used.
pub const REFRESH_TOKEN_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Lifetime of an access token.
pub const ACCESS_TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);

/// Length in bytes of the challenge in `Welcome`.
pub const CHALLENGE_BYTES: usize = 32;
/// Length in bytes of a device's verifying keys: Ed25519 (32) and ML-DSA-87 (2592).
pub const DEVICE_KEY_BYTES: usize = 32 + 2592;
/// Length in bytes of a hybrid signature: Ed25519 (64) and ML-DSA-87 (4627).
pub const HYBRID_SIGNATURE_BYTES: usize = 64 + 4627;
/// Length in bytes of an access token: 74 bytes of claims and a hybrid signature.
pub const ACCESS_TOKEN_BYTES: usize = 74 + HYBRID_SIGNATURE_BYTES;
/// Length in bytes of a refresh token: version, family, generation, secret.
pub const REFRESH_TOKEN_BYTES: usize = 1 + 16 + 4 + 32;
/// Length in bytes of a ristretto255 element.
pub const OPRF_ELEMENT_BYTES: usize = 32;
/// Length in bytes of an evaluation: element and proof.
pub const OPRF_EVALUATION_BYTES: usize = 96;
/// Length in bytes of the random name of a link.
pub const LINK_BYTES: usize = 16;
/// Length in bytes of a Curve25519 public key as libsignal writes it: a type byte and 32.
pub const SIGNAL_PUBLIC_KEY_BYTES: usize = 33;
/// Length in bytes of an ML-KEM-1024 public key as libsignal writes it: a type byte and 1568.
pub const SIGNAL_KEM_KEY_BYTES: usize = 1569;
/// Length in bytes of an XEdDSA signature.
pub const SIGNAL_SIGNATURE_BYTES: usize = 64;
/// Length in bytes of an X25519 public key.
pub const X25519_KEY_BYTES: usize = 32;
/// Length in bytes of an ML-KEM-1024 encapsulation key (FIPS 203).
pub const ML_KEM_KEY_BYTES: usize = 1568;
