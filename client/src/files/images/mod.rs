//! Pictures without what a camera, a phone or an editor has written into them: where and when it was taken, with what, by whom, and
//! small copies of what it was before it was cut.
//!
//! A picture is not decoded for this: its file is a row of segments, of which those are copied that are needed to show it, as they
//! are. So nothing of its quality is lost, no decoder sees a stranger's bytes, and memory does not grow with the picture. A
//! well-kept crate that edits segments would hold the whole file in memory, and drops only what it is told to; here only what is
//! named stays. The turn of a photograph stays, alone, in a segment of our own.
//!
//! A file that begins like a picture and does not go on like one is refused, because nobody could say what is left in it.

mod jpeg;
mod png;
mod webp;

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

use endtoend_protocol::Picture;

/// A picture whose file was gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Like `image/png`.
    pub media_type: &'static str,
    /// Its size as it is shown; `None` when that is beyond what is ever shown.
    pub picture: Option<Picture>,
}

/// Why a picture was not copied.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It begins like a picture, and is none that is understood.
    #[error("the file begins like a picture and is damaged")]
    Damaged,
    /// The disk.
    #[error("the picture could not be read or written")]
    Io(#[from] io::Error),
}

/// What is read from may be gone over twice.
pub trait Source: Read + Seek {}
impl<T: Read + Seek> Source for T {}

type Reader<'a> = BufReader<&'a mut dyn Source>;

/// Copies a picture without its metadata. `None`, and nothing is written, for what is no JPEG, PNG or WebP.
///
/// # Errors
/// See [`ImageError`]. What was written is of no use then.
pub fn copy_clean(source: &mut dyn Source, out: &mut dyn Write) -> Result<Option<Found>, ImageError> {
    source.seek(SeekFrom::Start(0))?;
    let mut head = [0; 12];
    let length = fill(source, &mut head)?;
    source.seek(SeekFrom::Start(0))?;
    let head = head.get(..length).unwrap_or_default();
    let reader = BufReader::new(source);
    match head {
        [0xff, 0xd8, 0xff, ..] => jpeg::copy(reader, out).map(Some),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => png::copy(reader, out).map(Some),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P'] => webp::copy(reader, out).map(Some),
        _ => Ok(None),
    }
}

/// What the bytes of a picture say of themselves, before anything decodes them. `None` for what is no JPEG, PNG or WebP, is
/// damaged, or is larger than what is ever shown.
pub fn look(bytes: &[u8]) -> Option<Found> {
    let mut source = io::Cursor::new(bytes);
    copy_clean(&mut source, &mut io::sink()).ok().flatten().filter(|found| found.picture.is_some())
}

/// As many bytes as there are.
fn fill(source: &mut dyn Source, into: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = into.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match source.read(rest)? {
            0 => break,
            count => length += count,
        }
    }
    Ok(length)
}

/// So many bytes; a file that ends before is damaged.
fn exactly<const N: usize>(reader: &mut impl Read) -> Result<[u8; N], ImageError> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes).map_err(ended)?;
    Ok(bytes)
}

fn ended(error: io::Error) -> ImageError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ImageError::Damaged,
        _ => error.into(),
    }
}

/// Copies so many bytes.
fn pass(reader: &mut impl Read, out: &mut dyn Write, bytes: u64) -> Result<(), ImageError> {
    match io::copy(&mut reader.take(bytes), out)? {
        copied if copied == bytes => Ok(()),
        _ => Err(ImageError::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(bytes: &[u8]) -> (Result<Option<Found>, ImageError>, Vec<u8>) {
        let mut out = Vec::new();
        (copy_clean(&mut io::Cursor::new(bytes), &mut out), out)
    }

    fn segment(code: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len() + 2).unwrap().to_be_bytes();
        [&[0xff, code][..], &length, payload].concat()
    }

    fn jpeg(orientation: u8) -> Vec<u8> {
        let exif = [
            b"Exif\0\0II*\0\x08\0\0\0\x02\0\x0f\x01\x02\0\x07\0\0\0\x40\0\0\0\x12\x01\x03\0\x01\0\0\0".to_vec(),
            vec![orientation, 0, 0, 0],
            b"SECRET place and time".to_vec(),
        ]
        .concat();
        let frame = [8, 0, 30, 0, 40, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];
        [
            vec![0xff, 0xd8],
            segment(0xe0, b"JFIF\0\x01\x02\0\0\x01\0\x01\x01\x01SECRET thumbnail"),
            segment(0xe1, &exif),
            segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0SECRET"),
            segment(0xe2, b"ICC_PROFILE\0\x01\x01kept profile"),
            segment(0xe2, b"MPF\0SECRET"),
            segment(0xed, b"Photoshop 3.0\0SECRET"),
            segment(0xfe, b"SECRET comment"),
            segment(0xdb, &[0; 65]),
            segment(0xc0, &frame),
            segment(0xda, &[3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]),
            vec![1, 2, 0xff, 0, 3, 0xff, 0xd0, 4, 0xff, 0xff, 0xd1, 5],
            segment(0xfe, b"SECRET between scans"),
            segment(0xda, &[1, 1, 0, 0, 63, 0]),
            vec![6, 7, 0xff, 0xd9],
            b"SECRET film behind the picture".to_vec(),
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
            chunk(b"tEXt", b"Author\0SECRET"),
            chunk(b"eXIf", b"SECRET"),
            chunk(b"gAMA", &[0, 0, 0xb1, 0x8f]),
            chunk(b"prVt", b"SECRET of a program"),
            chunk(b"IDAT", b"pixels"),
            chunk(b"tIME", b"SECRET!"),
            chunk(b"IEND", b""),
            b"SECRET behind the end".to_vec(),
        ]
        .concat()
    }

    fn webp() -> Vec<u8> {
        let chunk = |kind: &[u8; 4], data: &[u8]| {
            let padding = if data.len() % 2 == 1 { &[0][..] } else { &[] };
            [kind, &u32::try_from(data.len()).unwrap().to_le_bytes()[..], data, padding].concat()
        };
        let body = [
            b"WEBP".to_vec(),
            chunk(b"VP8X", &[0x2c, 0, 0, 0, 39, 0, 0, 29, 0, 0]),
            chunk(b"ICCP", b"odd"),
            chunk(b"VP8L", &[0x2f, 39, 0x40, 7, 0, 1]),
            chunk(b"EXIF", b"SECRET!"),
            chunk(b"XMP ", b"SECRET"),
            chunk(b"WHAT", b"SECRET"),
        ]
        .concat();
        [b"RIFF", &u32::try_from(body.len()).unwrap().to_le_bytes()[..], &body, b"SECRET behind"].concat()
    }

    /// A WebP file of these chunks.
    fn webp_of(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut body = b"WEBP".to_vec();
        for (kind, data) in chunks {
            body.extend_from_slice(*kind);
            body.extend_from_slice(&u32::try_from(data.len()).unwrap().to_le_bytes());
            body.extend_from_slice(data);
            body.resize(body.len() + data.len() % 2, 0);
        }
        [b"RIFF", &u32::try_from(body.len()).unwrap().to_le_bytes()[..], &body].concat()
    }

    fn contains(bytes: &[u8], text: &[u8]) -> bool {
        bytes.windows(text.len()).any(|window| window == text)
    }

    #[test]
    fn nothing_stays_that_is_not_needed_to_show_a_picture() {
        for (bytes, media_type) in [(jpeg(1), "image/jpeg"), (png(), "image/png"), (webp(), "image/webp")] {
            assert!(contains(&bytes, b"SECRET"));
            let (found, out) = cleaned(&bytes);
            let found = found.unwrap().unwrap();
            assert_eq!(found, Found { media_type, picture: Picture::new(40, 30) });
            assert!(!contains(&out, b"SECRET"), "{media_type}");
            // What is clean stays byte for byte what it is.
            let (again, same) = cleaned(&out);
            assert_eq!((again.unwrap(), same), (Some(found), out), "{media_type}");
        }
        let (_, out) = cleaned(&jpeg(1));
        assert!(
            contains(&out, b"kept profile")
                && contains(&out, &[1, 2, 0xff, 0, 3, 0xff, 0xd0, 4])
                && !contains(&out, b"Exif")
        );
        let (_, out) = cleaned(&webp());
        assert_eq!(out.len() - 8, usize::try_from(u32::from_le_bytes(out[4..8].try_into().unwrap())).unwrap());
        assert_eq!(out[20], 0x20, "it does not say any more that there is metadata");
    }

    #[test]
    fn the_turn_of_a_photograph_stays_alone() {
        let (found, out) = cleaned(&jpeg(6));
        assert_eq!(found.unwrap().unwrap().picture, Picture::new(30, 40), "as it is shown");
        assert!(contains(&out, b"Exif\0\0") && !contains(&out, b"SECRET"));
        let (again, same) = cleaned(&out);
        assert_eq!((again.unwrap().unwrap().picture, same), (Picture::new(30, 40), out));
    }

    #[test]
    fn a_bomb_is_seen_before_it_is_decoded() {
        let mut bytes = png();
        assert!(look(&bytes).is_some());
        bytes[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        assert_eq!(look(&bytes), None);
        assert_eq!(cleaned(&bytes).0.unwrap().unwrap().picture, None, "and is a file like any other");
    }

    #[test]
    fn a_picture_has_one_size_and_nothing_in_it_is_larger() {
        let picture = jpeg(1);
        let frame = segment(0xc0, &[8, 0x7f, 0xff, 0x7f, 0xff, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]);
        let small = segment(0xc2, &[8, 0, 30, 0, 40, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]);
        let place = picture.windows(2).position(|window| window == [0xff, 0xda]).unwrap();
        for second in [frame, small, segment(0xc1, &[8, 0, 1])] {
            let bytes = [&picture[..place], &second, &picture[place..]].concat();
            assert!(matches!(cleaned(&bytes).0, Err(ImageError::Damaged)));
        }
        let canvas: &[u8] = &[0, 0, 0, 0, 39, 0, 0, 29, 0, 0];
        let animated: &[u8] = &[2, 0, 0, 0, 39, 0, 0, 29, 0, 0];
        let (fits, large): (&[u8], &[u8]) = (&[0x2f, 39, 0x40, 7, 0, 1], &[0x2f, 0xff, 0xff, 0xff, 0x0f, 1]);
        let (lossy, larger): (&[u8], &[u8]) =
            (&[0, 0, 0, 0x9d, 1, 0x2a, 40, 0, 30, 0, 1], &[0, 0, 0, 0x9d, 1, 0x2a, 41, 0, 30, 0, 1]);
        // Where it lies, in units of two, and how large it is.
        let anmf = |at: [u8; 6], size: [u8; 6], kind: &[u8; 4], data: &[u8]| {
            let part = webp_of(&[(kind, data)]).split_off(12);
            [&at[..], &size, &[100, 0, 0, 0], &part].concat()
        };
        let (start, whole) = ([0; 6], [39, 0, 0, 29, 0, 0]);
        let moving = anmf(start, whole, b"VP8L", fits);
        let beyond = anmf([1, 0, 0, 0, 0, 0], whole, b"VP8L", fits);
        let hidden = anmf(start, whole, b"VP8L", large);
        let more = anmf(start, [1, 0, 0, 1, 0, 0], b"VP8 ", lossy);
        let still = [
            vec![(b"VP8X", canvas), (b"VP8 ", lossy)],
            vec![(b"VP8 ", lossy)],
            vec![(b"VP8X", animated), (b"ANMF", &moving), (b"ANMF", &moving)],
        ];
        for chunks in still {
            let (found, _) = cleaned(&webp_of(&chunks));
            assert_eq!(found.unwrap().unwrap().picture, Picture::new(40, 30), "{chunks:?}");
        }
        let refused = [
            vec![(b"VP8X", canvas), (b"VP8L", large)],
            vec![(b"VP8X", canvas), (b"VP8 ", larger)],
            vec![(b"VP8X", canvas), (b"VP8 ", lossy), (b"VP8L", fits)],
            vec![(b"VP8 ", lossy), (b"VP8 ", larger)],
            vec![(b"VP8X", canvas), (b"VP8X", canvas), (b"VP8L", fits)],
            vec![(b"VP8L", fits), (b"VP8X", canvas)],
            vec![(b"VP8X", canvas), (b"VP8L", &fits[1..])],
            vec![(b"VP8X", animated), (b"ANMF", &beyond)],
            vec![(b"VP8X", animated), (b"ANMF", &hidden)],
            vec![(b"VP8X", animated), (b"ANMF", &more)],
            vec![(b"VP8X", animated), (b"ANMF", &moving[..16])],
            vec![(b"ANMF", &moving)],
        ];
        for chunks in refused {
            let (found, _) = cleaned(&webp_of(&chunks));
            assert!(matches!(found, Err(ImageError::Damaged)), "{chunks:?}: {found:?}");
        }
    }

    #[test]
    fn what_begins_like_a_picture_and_is_none_is_refused() {
        for bytes in [jpeg(6), png(), webp()] {
            let end = cleaned(&bytes).1.len();
            for length in 13..end.min(bytes.len()) - 1 {
                let (found, _) = cleaned(&bytes[..length]);
                assert!(matches!(found, Err(ImageError::Damaged)), "{length} of {} bytes: {found:?}", bytes.len());
            }
        }
        for other in [&b""[..], b"GIF89a", b"text", &[0xff, 0xd8], b"RIFF1234WAVE"] {
            let (found, out) = cleaned(other);
            assert!(found.unwrap().is_none() && out.is_empty());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_picture_or_none(
            at in 0_usize..400, byte in proptest::prelude::any::<u8>(), which in 0_usize..3, cut in 0_usize..400
        ) {
            let mut bytes = [jpeg(3), png(), webp()][which].clone();
            bytes.truncate(cut.max(1));
            let at = at % bytes.len();
            bytes[at] = byte;
            let (found, out) = cleaned(&bytes);
            if let Ok(Some(found)) = found {
                let (again, same) = cleaned(&out);
                proptest::prop_assert_eq!((again.unwrap(), same), (Some(found), out));
            }
        }
    }
}
