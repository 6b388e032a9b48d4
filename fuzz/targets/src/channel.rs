//! The secure channel: its handshake's messages, and records in any order.

use std::sync::LazyLock;
use std::time::Duration;

use endtoend_crypto_core::channel::{
    Assembler, Channel, ChannelError, Initiator, Introduction, REKEY_AGE, StaticKeys, Step, chunks, respond,
};
use endtoend_crypto_core::signature::SigningKey;

use crate::{choice, chosen, rng};

struct Server {
    keys: StaticKeys,
    introduction: Vec<u8>,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let identity = SigningKey::generate(&mut rng(1));
    let keys = StaticKeys::generate(&mut rng(2));
    let introduction = Introduction::sign(&identity, keys.public(), 1, 2);
    Server { keys, introduction }
});

fn initiate() -> (Initiator, Vec<u8>) {
    Initiator::start(&mut rng(3), SERVER.keys.public(), &SERVER.introduction).unwrap()
}

fn answered() -> (Vec<u8>, Channel) {
    respond(&mut rng(4), &SERVER.keys, &SERVER.introduction, &initiate().1).unwrap()
}

/// Each message of the handshake, and chunks of it. Only what an honest side would say is taken.
pub fn handshake(data: &[u8]) {
    let (kind, rest) = choice(data);
    match kind % 4 {
        0 => {
            if let Ok(introduction) = Introduction::read(rest) {
                assert_eq!(introduction.as_bytes(), rest);
                assert_eq!(rest, SERVER.introduction, "a forged introduction");
            }
        }
        1 => {
            // A stranger may well make an Initiate of his own; what it leads to is a channel with him.
            if let Ok((answer, _)) = respond(&mut rng(5), &SERVER.keys, &SERVER.introduction, rest) {
                assert_eq!(answer.len(), rest.len());
            }
        }
        2 => {
            if initiate().0.finish(rest).is_ok() {
                assert_eq!(rest, answered().0, "a forged answer");
            }
        }
        _ => {
            let mut assembler = Assembler::new(Step::Initiate);
            let mut rest = rest;
            while let Some((length, tail)) = rest.split_first_chunk::<2>() {
                let length = usize::from(u16::from_le_bytes(*length)).min(tail.len());
                let (chunk, tail) = tail.split_at(length);
                rest = tail;
                match assembler.push(chunk) {
                    Ok(None) => {}
                    Ok(Some(message)) => {
                        let again = chunks(Step::Initiate, &message);
                        assert_eq!(again.last().map(Vec::as_slice), Some(chunk));
                        return;
                    }
                    Err(_) => return,
                }
            }
        }
    }
}

pub(crate) fn handshake_seeds() -> Vec<Vec<u8>> {
    let pieces = chunks(Step::Initiate, &[7; 5000]);
    let pieces: Vec<u8> = pieces
        .into_iter()
        .flat_map(|piece| [&u16::try_from(piece.len()).unwrap().to_le_bytes()[..], &piece].concat())
        .collect();
    vec![
        chosen(0, &SERVER.introduction),
        chosen(1, &initiate().1),
        chosen(2, &answered().0),
        chosen(3, &pieces),
        chosen(3, &[3, 0, 2, 0, 9]),
    ]
}

/// Frames that are sealed, and records that arrive changed, twice, late or never: what opens is what was sealed next.
pub fn records(data: &[u8]) {
    let (initiator, initiate) = initiate();
    let (answer, mut node) = respond(&mut rng(4), &SERVER.keys, &SERVER.introduction, &initiate).unwrap();
    let mut client = initiator.finish(&answer).unwrap();
    let (mut sent, mut age, mut opened) = (Vec::new(), Duration::ZERO, 0);
    let mut data = data.iter().copied();
    while let (Some(step), Some(detail)) = (data.next(), data.next()) {
        match step % 6 {
            0 | 1 => {
                let frame = vec![detail; usize::from(detail) * 5];
                sent.push((frame.clone(), client.sealer.seal(&frame, age).unwrap()));
            }
            2 => age += REKEY_AGE / 2,
            kind => {
                if sent.is_empty() {
                    continue;
                }
                let at = if kind == 3 { opened } else { usize::from(detail) % sent.len() };
                let Some((frame, record)) = sent.get(at) else { continue };
                let mut record = record.clone();
                if kind == 5 {
                    let at = usize::from(detail) % record.len();
                    record[at] ^= detail | 1;
                }
                let expected = at == opened && kind != 5;
                match node.opener.open(&record) {
                    Ok(heard) => {
                        assert!(expected, "record {at} opened in place of {opened}");
                        assert_eq!(&heard, frame);
                        opened += 1;
                    }
                    Err(error) => {
                        assert!(!expected, "record {at} did not open: {error}");
                        assert_eq!(node.opener.open(&record), Err(error));
                        let next = client.sealer.seal(b"next", age).unwrap();
                        assert!(matches!(node.opener.open(&next), Err(ChannelError::Forged | ChannelError::Malformed)));
                        return;
                    }
                }
            }
        }
    }
}

pub(crate) fn record_seeds() -> Vec<Vec<u8>> {
    vec![
        vec![0, 9, 3, 0, 0, 1, 3, 0],
        vec![0, 9, 2, 0, 2, 0, 0, 1, 3, 0, 3, 0],
        vec![0, 9, 0, 8, 4, 1],
        vec![0, 3, 5, 7],
    ]
}
