//! PNG (third edition): chunks with a length, a kind and a checksum.

use std::io::Write;

use endtoend_protocol::Picture;

use super::{Found, ImageError, Reader, exactly, pass};

/// Longest chunk in bytes, by the specification.
const CHUNK_BYTES_MAX: u32 = i32::MAX as u32;
const HEADER_BYTES: u32 = 13;
/// Kinds that are needed to show a picture as it is meant, with its animation.
const KEPT: [&[u8; 4]; 18] = [
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD", b"pHYs",
    b"cICP", b"mDCV", b"cLLI", b"acTL", b"fcTL", b"fdAT",
];

pub(super) fn copy(mut reader: Reader<'_>, out: &mut dyn Write) -> Result<Found, ImageError> {
    out.write_all(&exactly::<8>(&mut reader)?)?;
    let mut picture = None;
    for number in 0_u64.. {
        let length = exactly::<4>(&mut reader)?;
        let kind = exactly::<4>(&mut reader)?;
        let bytes = u32::from_be_bytes(length);
        // The header is the first chunk, and no other.
        if bytes > CHUNK_BYTES_MAX || (&kind == b"IHDR") != (number == 0) {
            return Err(ImageError::Damaged);
        }
        // With the checksum, which stays true.
        let all = u64::from(bytes) + 4;
        if !KEPT.contains(&&kind) {
            let [first, ..] = kind;
            // Nothing can be shown without it, and nobody knows what it is.
            if first.is_ascii_uppercase() {
                return Err(ImageError::Damaged);
            }
            pass(&mut reader, &mut std::io::sink(), all)?;
            continue;
        }
        out.write_all(&length)?;
        out.write_all(&kind)?;
        match &kind {
            b"IHDR" if bytes == HEADER_BYTES => {
                let [w1, w2, w3, w4, h1, h2, h3, h4] = exactly(&mut reader)?;
                let (width, height) = ([w1, w2, w3, w4], [h1, h2, h3, h4]);
                picture = Picture::new(u32::from_be_bytes(width), u32::from_be_bytes(height));
                out.write_all(&width)?;
                out.write_all(&height)?;
                pass(&mut reader, out, all - 8)?;
            }
            b"IHDR" => return Err(ImageError::Damaged),
            b"IEND" => {
                pass(&mut reader, out, all)?;
                break;
            }
            _ => pass(&mut reader, out, all)?,
        }
    }
    Ok(Found { media_type: "image/png", picture })
}
