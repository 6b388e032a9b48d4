//! Looks for words in everything below a directory, in the guises in which software tends to write them down.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

/// A word that was found where it should not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// In which file.
    pub file: PathBuf,
    /// Which of the words, by its place in the list.
    pub needle: usize,
    /// In which guise.
    pub guise: &'static str,
}

/// What was looked through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Searched {
    /// Files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// What was found.
    pub hits: Vec<Hit>,
}

/// Looks for each needle, of which each has at least 8 bytes, in every file below each root: as it is, in hex, in
/// base64 at each alignment, and as UTF-16.
///
/// # Errors
/// When something cannot be read: what was not looked at is not clean.
pub fn find_in_trees(roots: &[&Path], needles: &[&[u8]]) -> io::Result<Searched> {
    let words = Words::of(needles);
    let mut searched = Searched::default();
    let mut open: Vec<PathBuf> = roots.iter().map(|root| root.to_path_buf()).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                open.push(entry?.path());
            }
        } else if !std::fs::metadata(&path)?.file_type().is_socket() {
            // A socket holds nothing.
            let bytes = std::fs::read(&path)?;
            searched.files += 1;
            searched.bytes += bytes.len() as u64;
            for (needle, guise) in words.in_these(&bytes) {
                searched.hits.push(Hit { file: path.clone(), needle, guise });
            }
        }
    }
    Ok(searched)
}

/// Everything that is looked for.
struct Words {
    /// Needle, guise, and its bytes.
    guises: Vec<(usize, &'static str, Vec<u8>)>,
    /// By their first two bytes; and whether there is any, which is asked at each byte of each file.
    by_beginning: HashMap<[u8; 2], Vec<usize>>,
    may_begin: Vec<bool>,
}

impl Words {
    fn of(needles: &[&[u8]]) -> Self {
        let of_one =
            |(at, needle): (usize, &&[u8])| guises(needle).into_iter().map(move |(how, bytes)| (at, how, bytes));
        let guises: Vec<_> = needles.iter().enumerate().flat_map(of_one).collect();
        let mut words = Self { guises: Vec::new(), by_beginning: HashMap::new(), may_begin: vec![false; 1 << 16] };
        for (at, (.., bytes)) in guises.iter().enumerate() {
            if let [first, second, ..] = *bytes.as_slice() {
                words.by_beginning.entry([first, second]).or_default().push(at);
                if let Some(may) = words.may_begin.get_mut(usize::from(u16::from_be_bytes([first, second]))) {
                    *may = true;
                }
            }
        }
        Self { guises, ..words }
    }

    /// Those that are in there, each once.
    fn in_these(&self, bytes: &[u8]) -> Vec<(usize, &'static str)> {
        let mut found = BTreeSet::new();
        for (at, two) in bytes.windows(2).enumerate() {
            let [first, second] = *two else { continue };
            if self.may_begin.get(usize::from(u16::from_be_bytes([first, second]))) != Some(&true) {
                continue;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            let begun = self.by_beginning.get(&[first, second]).into_iter().flatten().copied();
            found.extend(begun.filter(|one| self.guises.get(*one).is_some_and(|(.., word)| rest.starts_with(word))));
        }
        found.into_iter().filter_map(|one| self.guises.get(one)).map(|(needle, guise, _)| (*needle, *guise)).collect()
    }
}

fn guises(needle: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut guises = vec![
        ("as it is", needle.to_vec()),
        ("in hex", hex(needle, b"0123456789abcdef")),
        ("in HEX", hex(needle, b"0123456789ABCDEF")),
    ];
    if let Ok(text) = std::str::from_utf8(needle) {
        guises.push(("as UTF-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect()));
    }
    for skip in 0..3 {
        guises.push(("in base64", base64(needle, skip, b'+', b'/')));
        guises.push(("in base64url", base64(needle, skip, b'-', b'_')));
    }
    guises
}

fn hex(bytes: &[u8], digits: &[u8; 16]) -> Vec<u8> {
    let digit = |value: u8| digits.get(usize::from(value)).copied().unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The base64 digits of the whole groups of three bytes from `skip` on: what stands in the middle of an encoding in
/// which the bytes start at that alignment.
fn base64(bytes: &[u8], skip: usize, plus: u8, slash: u8) -> Vec<u8> {
    let digit = |value: u8| match value {
        0..=25 => b'A' + value,
        26..=51 => b'a' + value - 26,
        52..=61 => b'0' + value - 52,
        62 => plus,
        _ => slash,
    };
    bytes
        .get(skip..)
        .unwrap_or_default()
        .chunks_exact(3)
        .flat_map(|group| match group {
            [a, b, c] => [a >> 2, (a & 3) << 4 | b >> 4, (b & 15) << 2 | c >> 6, c & 63].map(digit),
            _ => [0; 4],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORD: &[u8] = b"a very secret phrase";

    fn found(content: &[u8]) -> Vec<&'static str> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/file"), content).unwrap();
        let searched = find_in_trees(&[dir.path()], &[WORD]).unwrap();
        assert_eq!((searched.files, searched.bytes), (1, content.len() as u64));
        searched.hits.into_iter().map(|hit| hit.guise).collect()
    }

    #[test]
    fn a_word_is_found_in_each_of_its_guises_and_nowhere_else() {
        assert_eq!(found(b"xx a very secret phrase xx"), ["as it is"]);
        assert!(found(b"xx6120766572792073656372657420706872617365xx").contains(&"in hex"));
        let utf16: Vec<u8> = "a very secret phrase".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(found(&utf16), ["as UTF-16"]);
        assert!(found(b"a very secret phrasf and a very secret phras").is_empty());
        assert!(found(b"").is_empty());
    }

    #[test]
    fn base64_is_found_at_each_alignment() {
        // base64 of the word alone, after one byte, and after two.
        for encoded in
            [&b"YSB2ZXJ5IHNlY3JldCBwaHJhc2U="[..], b"eGEgdmVyeSBzZWNyZXQgcGhyYXNl", b"eHhhIHZlcnkgc2VjcmV0IHBocmFzZQ=="]
        {
            assert!(found(encoded).contains(&"in base64"), "{}", String::from_utf8_lossy(encoded));
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_called_clean() {
        assert!(find_in_trees(&[Path::new("/nonexistent")], &[WORD]).is_err());
    }
}
