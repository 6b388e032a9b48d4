//! WebP (RFC 9649): chunks inside a RIFF file, which says its length at its beginning, so that it is gone over twice. The frames of
//! an animation are copied as they are.

use std::io::{Read as _, Seek as _, SeekFrom, Write};

use endtoend_protocol::Picture;

use super::{Found, ImageError, Reader, exactly, pass};

/// More frames than any animation has.
const CHUNKS_MAX: usize = 100_000;
const EXIF: u8 = 0x08;
const XMP: u8 = 0x04;

/// A chunk that stays: where its content begins, and how long that is.
struct Chunk {
    kind: [u8; 4],
    at: u64,
    bytes: u32,
}

impl Chunk {
    /// With its header and what fills it up to an even length.
    fn whole(&self) -> u64 {
        8 + u64::from(self.bytes) + u64::from(self.bytes % 2)
    }
}

pub(super) fn copy(mut reader: Reader<'_>, out: &mut dyn Write) -> Result<Found, ImageError> {
    let chunks = kept(&mut reader)?;
    let length = chunks.iter().map(Chunk::whole).sum::<u64>() + 4;
    out.write_all(b"RIFF")?;
    out.write_all(&u32::try_from(length).map_err(|_| ImageError::Damaged)?.to_le_bytes())?;
    out.write_all(b"WEBP")?;
    let mut size = None;
    for chunk in &chunks {
        out.write_all(&chunk.kind)?;
        out.write_all(&chunk.bytes.to_le_bytes())?;
        reader.seek(SeekFrom::Start(chunk.at))?;
        let mut head = Vec::new();
        (&mut reader).take(chunk.bytes.min(10).into()).read_to_end(&mut head)?;
        match (&chunk.kind, head.as_mut_slice()) {
            (b"VP8X", [flags, _, _, _, w1, w2, w3, h1, h2, h3]) => {
                *flags &= !(EXIF | XMP);
                let side = |bytes: [u8; 3]| {
                    let [a, b, c] = bytes;
                    u32::from_le_bytes([a, b, c, 0]).saturating_add(1)
                };
                size = Some((side([*w1, *w2, *w3]), side([*h1, *h2, *h3])));
            }
            (b"VP8X", _) => return Err(ImageError::Damaged),
            (b"VP8L", [0x2f, a, b, c, d, ..]) if size.is_none() => {
                let bits = u32::from_le_bytes([*a, *b, *c, *d]);
                size = Some(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1));
            }
            (b"VP8 ", [_, _, _, 0x9d, 0x01, 0x2a, w1, w2, h1, h2]) if size.is_none() => {
                let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
                size = Some((side(*w1, *w2), side(*h1, *h2)));
            }
            _ => {}
        }
        out.write_all(&head)?;
        let rest = u64::from(chunk.bytes).checked_sub(head.len() as u64).ok_or(ImageError::Damaged)?;
        pass(&mut reader, out, rest)?;
        if chunk.bytes % 2 == 1 {
            out.write_all(&[0])?;
        }
    }
    let (width, height) = size.ok_or(ImageError::Damaged)?;
    Ok(Found { media_type: "image/webp", picture: Picture::new(width, height) })
}

/// The chunks that are needed to show the picture.
fn kept(reader: &mut Reader<'_>) -> Result<Vec<Chunk>, ImageError> {
    let [_, _, _, _, a, b, c, d, _, _, _, _] = exactly(reader)?;
    let end = u64::from(u32::from_le_bytes([a, b, c, d])) + 8;
    let (mut chunks, mut at, mut seen) = (Vec::new(), 12, 0);
    while at + 8 <= end {
        seen += 1;
        if seen > CHUNKS_MAX {
            return Err(ImageError::Damaged);
        }
        let kind = exactly::<4>(reader)?;
        let bytes = u32::from_le_bytes(exactly(reader)?);
        let chunk = Chunk { kind, at: at + 8, bytes };
        at += chunk.whole();
        if at > end {
            return Err(ImageError::Damaged);
        }
        // What is skipped has to be there.
        pass(reader, &mut std::io::sink(), chunk.whole() - 8)?;
        if matches!(&kind, b"VP8X" | b"VP8 " | b"VP8L" | b"ALPH" | b"ANIM" | b"ANMF" | b"ICCP") {
            chunks.push(chunk);
        }
    }
    if at == end { Ok(chunks) } else { Err(ImageError::Damaged) }
}
