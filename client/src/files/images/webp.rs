//! WebP (RFC 9649): chunks inside a RIFF file, which says its length at its beginning, so that it is gone over twice. The frames of
//! an animation are copied as they are. What is said of the canvas is the size only because nothing on it is larger.

use std::io::{Read as _, Seek as _, SeekFrom, Write};

use endtoend_protocol::Picture;

use super::{Found, ImageError, Reader, exactly, pass};

/// More frames than any animation has.
const CHUNKS_MAX: usize = 100_000;
/// What a chunk says of its size is in these.
const HEAD_BYTES: u32 = 10;
/// What a picture of an animation begins with.
const FRAME_BYTES: u32 = 16;
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
    let (mut canvas, mut frame) = (None, None);
    for (number, chunk) in chunks.iter().enumerate() {
        out.write_all(&chunk.kind)?;
        out.write_all(&chunk.bytes.to_le_bytes())?;
        reader.seek(SeekFrom::Start(chunk.at))?;
        let mut head = Vec::new();
        (&mut reader).take(chunk.bytes.min(HEAD_BYTES).into()).read_to_end(&mut head)?;
        match (&chunk.kind, head.as_mut_slice()) {
            // The canvas is the first thing that is told of, and told once.
            (b"VP8X", [flags, _, _, _, w1, w2, w3, h1, h2, h3]) if number == 0 => {
                *flags &= !(EXIF | XMP);
                canvas = Some((side([*w1, *w2, *w3]), side([*h1, *h2, *h3])));
            }
            (b"VP8X", _) => return Err(ImageError::Damaged),
            (b"VP8 " | b"VP8L", head) => {
                let found = bitstream(&chunk.kind, head)?;
                if frame.replace(found).is_some() || !fits(found, canvas) {
                    return Err(ImageError::Damaged);
                }
            }
            (b"ANMF", _) => animated(&mut reader, chunk, canvas)?,
            _ => {}
        }
        reader.seek(SeekFrom::Start(chunk.at + head.len() as u64))?;
        out.write_all(&head)?;
        let rest = u64::from(chunk.bytes).checked_sub(head.len() as u64).ok_or(ImageError::Damaged)?;
        pass(&mut reader, out, rest)?;
        if chunk.bytes % 2 == 1 {
            out.write_all(&[0])?;
        }
    }
    let (width, height) = canvas.or(frame).ok_or(ImageError::Damaged)?;
    Ok(Found { media_type: "image/webp", picture: Picture::new(width, height) })
}

/// Width and height.
type Size = (u32, u32);

/// Three bytes, less one.
const fn side([a, b, c]: [u8; 3]) -> u32 {
    u32::from_le_bytes([a, b, c, 0]).saturating_add(1)
}

fn fits((width, height): Size, within: Option<Size>) -> bool {
    within.is_none_or(|(most_width, most_height)| width <= most_width && height <= most_height)
}

/// What the pixels themselves say of their size, in their first ten bytes or fewer.
fn bitstream(kind: &[u8; 4], head: &[u8]) -> Result<Size, ImageError> {
    match (kind, head) {
        (b"VP8L", [0x2f, a, b, c, d, ..]) => {
            let bits = u32::from_le_bytes([*a, *b, *c, *d]);
            Ok(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1))
        }
        (b"VP8 ", [_, _, _, 0x9d, 0x01, 0x2a, w1, w2, h1, h2, ..]) => {
            let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
            Ok((side(*w1, *w2), side(*h1, *h2)))
        }
        _ => Err(ImageError::Damaged),
    }
}

/// Goes through one picture of an animation: it lies on the canvas, and its pixels are not more than it says.
fn animated(reader: &mut Reader<'_>, chunk: &Chunk, canvas: Option<Size>) -> Result<(), ImageError> {
    let (Some((width, height)), Some(mut left)) = (canvas, chunk.bytes.checked_sub(FRAME_BYTES)) else {
        return Err(ImageError::Damaged);
    };
    reader.seek(SeekFrom::Start(chunk.at))?;
    let [x1, x2, x3, y1, y2, y3, w1, w2, w3, h1, h2, h3, _, _, _, _] = exactly(reader)?;
    // In units of two.
    let place = |bytes| side(bytes).saturating_sub(1).saturating_mul(2);
    let size = (side([w1, w2, w3]), side([h1, h2, h3]));
    let ends = (place([x1, x2, x3]).saturating_add(size.0), place([y1, y2, y3]).saturating_add(size.1));
    if !fits(ends, Some((width, height))) {
        return Err(ImageError::Damaged);
    }
    let mut frame = None;
    while left > 0 {
        let kind = exactly::<4>(reader)?;
        let bytes = u32::from_le_bytes(exactly(reader)?);
        let part = Chunk { kind, at: 0, bytes };
        left = u32::try_from(part.whole()).ok().and_then(|whole| left.checked_sub(whole)).ok_or(ImageError::Damaged)?;
        let mut head = Vec::new();
        reader.take(bytes.min(HEAD_BYTES).into()).read_to_end(&mut head)?;
        if matches!(&kind, b"VP8 " | b"VP8L") {
            let found = bitstream(&kind, &head)?;
            if frame.replace(found).is_some() || !fits(found, Some(size)) {
                return Err(ImageError::Damaged);
            }
        }
        let rest = (part.whole() - 8).checked_sub(head.len() as u64).ok_or(ImageError::Damaged)?;
        pass(reader, &mut std::io::sink(), rest)?;
    }
    if frame.is_some() { Ok(()) } else { Err(ImageError::Damaged) }
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
