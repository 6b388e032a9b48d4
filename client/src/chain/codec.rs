//! What is kept of a chain, as bytes. They are this program's own, and sealed in the database.
//!
//! ```text
//! version(1, = 1) || chain(8) || next(8) || head(16) || floor(8)
//!   || 0, or 1 || former chain(8)
//!   || 0, or 1 || next(8) || head(16)                       the branch
//!   || count(1) || (first(8) || last(8) || before(16) || after(16)) each    what is missing
//!   || count(1) || (number(8) || head(16)) each                             what was seen
//! ```
//!
//! Numbers are little-endian.

use endtoend_protocol::{ChainHead, ChainId};

use super::incoming::{End, Incoming, MISSING_MAX, Run, SEEN_MAX};

const VERSION: u8 = 1;

impl Incoming {
    /// What is kept of it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.chain.0);
        put_end(&mut bytes, &self.end);
        bytes.extend_from_slice(&self.floor.to_le_bytes());
        bytes.push(u8::from(self.former.is_some()));
        bytes.extend(self.former.iter().flat_map(|former| former.0));
        bytes.push(u8::from(self.branch.is_some()));
        self.branch.iter().for_each(|branch| put_end(&mut bytes, branch));
        // Both are bounded far below 256.
        bytes.push(u8::try_from(self.missing.len()).unwrap_or(u8::MAX));
        for run in &self.missing {
            bytes.extend_from_slice(&run.first.to_le_bytes());
            bytes.extend_from_slice(&run.last.to_le_bytes());
            bytes.extend_from_slice(&run.before.0);
            bytes.extend_from_slice(&run.after.0);
        }
        bytes.push(u8::try_from(self.seen.len()).unwrap_or(u8::MAX));
        for (number, head) in &self.seen {
            bytes.extend_from_slice(&number.to_le_bytes());
            bytes.extend_from_slice(&head.0);
        }
        bytes
    }

    /// Reads what [`Incoming::to_bytes`] wrote; `None` for anything else.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let [VERSION] = take(bytes)? else { return None };
        let chain = ChainId(take(bytes)?);
        let end = take_end(bytes)?;
        let floor = take_number(bytes)?;
        let former = if take_flag(bytes)? { Some(ChainId(take(bytes)?)) } else { None };
        let branch = if take_flag(bytes)? { Some(take_end(bytes)?) } else { None };
        let run = |bytes: &mut &[u8]| {
            let (first, last) = (take_number(bytes)?, take_number(bytes)?);
            Some(Run { first, last, before: ChainHead(take(bytes)?), after: ChainHead(take(bytes)?) })
        };
        let missing = take_count(bytes, MISSING_MAX)?;
        let missing = (0..missing).map(|_| run(bytes)).collect::<Option<_>>()?;
        let seen = take_count(bytes, SEEN_MAX)?;
        let seen = (0..seen).map(|_| Some((take_number(bytes)?, ChainHead(take(bytes)?)))).collect::<Option<_>>()?;
        bytes.is_empty().then_some(Self { chain, end, former, branch, missing, floor, seen })
    }
}

fn put_end(bytes: &mut Vec<u8>, end: &End) {
    bytes.extend_from_slice(&end.next.to_le_bytes());
    bytes.extend_from_slice(&end.head.0);
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_le_bytes)
}

fn take_end(bytes: &mut &[u8]) -> Option<End> {
    Some(End { next: take_number(bytes)?, head: ChainHead(take(bytes)?) })
}

fn take_flag(bytes: &mut &[u8]) -> Option<bool> {
    match take(bytes)? {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    }
}

fn take_count(bytes: &mut &[u8], max: usize) -> Option<usize> {
    let [count] = take(bytes)?;
    Some(usize::from(count)).filter(|count| *count <= max)
}
