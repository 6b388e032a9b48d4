//! A name server that only the exits ask.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How soon the thread sees that it is to end.
const LOOK_EACH: Duration = Duration::from_millis(100);
const HEADER: usize = 12;
const TYPE_A: [u8; 2] = [0, 1];
const NO_SUCH_NAME: u8 = 3;
const TTL_SECONDS: [u8; 4] = [0, 0, 0, 60];

type Table = Arc<Mutex<BTreeMap<String, Ipv4Addr>>>;

/// Answers with the addresses that it was given, and to other names that there are none.
#[derive(Debug)]
pub(crate) struct Names {
    at: SocketAddr,
    table: Table,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Names {
    pub(crate) fn serve(at: SocketAddr) -> Self {
        let socket = UdpSocket::bind(at).expect("an address of the network's own");
        socket.set_read_timeout(Some(LOOK_EACH)).expect("a timeout");
        let (table, ends) = (Table::default(), Arc::new(AtomicBool::new(false)));
        let (known, ending) = (Arc::clone(&table), Arc::clone(&ends));
        let thread = thread::spawn(move || {
            let mut question = [0; 512];
            while !ending.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut question) else { continue };
                let asked = question.get(..length).unwrap_or_default();
                let known = known.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(answer) = answer(asked, &known) {
                    let _gone = socket.send_to(&answer, from);
                }
            }
        });
        Self { at, table, ends, thread: Some(thread) }
    }

    pub(crate) const fn at(&self) -> SocketAddr {
        self.at
    }

    pub(crate) fn add(&self, name: &str, address: Ipv4Addr) {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_lowercase(), address);
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _panicked = self.thread.take().map(JoinHandle::join);
    }
}

/// RFC 1035, section 4: one question, one answer at most. `None` for what is no question.
fn answer(question: &[u8], known: &BTreeMap<String, Ipv4Addr>) -> Option<Vec<u8>> {
    let header = question.get(..HEADER)?;
    let (name, end) = name(question)?;
    let asked = question.get(HEADER..end + 4)?;
    let is_address = asked.ends_with(&[TYPE_A, [0, 1]].concat());
    let found = known.get(&name).copied();
    let answers = found.filter(|_| is_address);
    let code = if found.is_some() { 0 } else { NO_SUCH_NAME };
    // An answer, by who knows; the question stands in it letter by letter.
    let mut bytes = header.get(..2)?.to_vec();
    bytes.extend([0x84, code, 0, 1, 0, u8::from(answers.is_some()), 0, 0, 0, 0]);
    bytes.extend(asked);
    if let Some(address) = answers {
        bytes.extend([0xc0, 12]);
        bytes.extend(TYPE_A);
        bytes.extend([0, 1]);
        bytes.extend(TTL_SECONDS);
        bytes.extend([0, 4]);
        bytes.extend(address.octets());
    }
    Some(bytes)
}

/// The name that is asked for, in small letters, and where it ends.
fn name(question: &[u8]) -> Option<(String, usize)> {
    let (mut labels, mut at) = (Vec::new(), HEADER);
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = question.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, kind: u8) -> Vec<u8> {
        let mut bytes = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            bytes.push(label.len() as u8);
            bytes.extend(label.as_bytes());
        }
        bytes.extend([0, 0, kind, 0, 1]);
        bytes
    }

    #[test]
    fn a_name_has_its_address_however_it_is_written_and_others_have_none() {
        let known = BTreeMap::from([("chat.test".to_owned(), Ipv4Addr::new(127, 0, 0, 7))]);
        let asked = question("cHaT.tEst", 1);
        let told = answer(&asked, &known).unwrap();
        assert_eq!(
            (&told[..4], &told[6..8], &told[12..asked.len()]),
            (&[7, 9, 0x84, 0][..], &[0, 1][..], &asked[12..])
        );
        assert!(told.ends_with(&[0, 4, 127, 0, 0, 7]));
        let six = answer(&question("chat.test", 28), &known).unwrap();
        assert_eq!((six[3], six[7]), (0, 0), "there is the name, and no such address");
        assert_eq!(answer(&question("other.test", 1), &known).unwrap()[3], NO_SUCH_NAME);
        assert_eq!(answer(&asked[..asked.len() - 5], &known), None);
        assert_eq!(answer(&[], &known), None);
    }
}
