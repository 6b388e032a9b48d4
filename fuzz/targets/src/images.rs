//! Pictures of strangers, before anything decodes them.

use std::io::Cursor;

use endtoend_client::files::images::{Found, copy_clean, look};

/// The segment that says the turn of a photograph, whose own may have been shorter.
const TURN_BYTES: usize = 36;

fn cleaned(bytes: &[u8]) -> Option<(Found, Vec<u8>)> {
    let mut out = Vec::new();
    let found = copy_clean(&mut Cursor::new(bytes), &mut out).ok().flatten()?;
    Some((found, out))
}

/// What is clean is not longer, but for the turn of a photograph, and stays byte for byte what it is; and both who sends a picture and
/// who is to show it say the same of it.
pub fn images(data: &[u8]) {
    let Some((found, clean)) = cleaned(data) else {
        assert_eq!(look(data), None);
        return;
    };
    assert_eq!(look(data), found.picture.map(|_| found));
    assert!(clean.len() <= data.len() + TURN_BYTES);
    assert_eq!(cleaned(&clean), Some((found, clean)));
}

fn segment(code: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 2).unwrap().to_be_bytes();
    [&[0xff, code][..], &length, payload].concat()
}

fn jpeg(turn: u8) -> Vec<u8> {
    let exif =
        [b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec(), vec![turn, 0, 0, 0, 0, 0, 0, 0]].concat();
    [
        vec![0xff, 0xd8],
        segment(0xe0, b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0"),
        segment(0xe1, &exif),
        segment(0xfe, b"a comment"),
        segment(0xc0, &[8, 0, 30, 0, 40, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]),
        segment(0xda, &[3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]),
        vec![1, 2, 0xff, 0, 3, 0xff, 0xd0, 4, 0xff, 0xd9, 5],
    ]
    .concat()
}

fn png() -> Vec<u8> {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], kind, data, &[1, 2, 3, 4]].concat()
    };
    [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &[0, 0, 0, 40, 0, 0, 0, 30, 8, 6, 0, 0, 0]),
        chunk(b"tEXt", b"Author\0somebody"),
        chunk(b"IDAT", b"pixels"),
        chunk(b"IEND", b""),
    ]
    .concat()
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let padding = if data.len() % 2 == 1 { &[0][..] } else { &[] };
    [kind, &u32::try_from(data.len()).unwrap().to_le_bytes()[..], data, padding].concat()
}

fn webp(chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = [b"WEBP".to_vec(), chunks.concat()].concat();
    [b"RIFF", &u32::try_from(body.len()).unwrap().to_le_bytes()[..], &body].concat()
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let canvas = |flags| chunk(b"VP8X", &[flags, 0, 0, 0, 39, 0, 0, 29, 0, 0]);
    let lossless = chunk(b"VP8L", &[0x2f, 39, 0x40, 7, 0, 1]);
    let lossy = chunk(b"VP8 ", &[0, 0, 0, 0x9d, 1, 0x2a, 40, 0, 30, 0, 1]);
    let at: &[u8] = &[0, 0, 0, 0, 0, 0, 39, 0, 0, 29, 0, 0, 100, 0, 0, 0];
    let moving = chunk(b"ANMF", &[at, &lossless].concat());
    vec![
        jpeg(1),
        jpeg(6),
        png(),
        webp(std::slice::from_ref(&lossy)),
        webp(&[canvas(0x0c), lossless, chunk(b"EXIF", b"where"), chunk(b"XMP ", b"who")]),
        webp(&[canvas(0x12), chunk(b"ANIM", &[0; 6]), moving.clone(), moving]),
        webp(&[canvas(0x10), chunk(b"ALPH", &[0; 3]), lossy]),
    ]
}
