//! JPEG (ITU-T T.81, JFIF 1.02): markers, each with a length but for a few.

use std::io::{BufRead as _, Write};

use endtoend_protocol::Picture;

use super::{Found, ImageError, Reader, ended, exactly};

const ICC: &[u8] = b"ICC_PROFILE\0";
const EXIF: &[u8] = b"Exif\0\0";
/// Up to its thumbnail.
const JFIF_BYTES: usize = 14;
const ADOBE_BYTES: usize = 12;
/// Entries of a directory that are looked at.
const ENTRIES_MAX: usize = 512;
const ORIENTATION: u16 = 0x0112;

pub(super) fn copy(mut reader: Reader<'_>, out: &mut dyn Write) -> Result<Found, ImageError> {
    out.write_all(&exactly::<2>(&mut reader)?)?;
    let (mut size, mut turn) = (None, None);
    let mut code = marker(&mut reader)?;
    loop {
        match code {
            // The end: what follows is none of the picture.
            0xd9 => {
                out.write_all(&[0xff, code])?;
                let (width, height) = size.ok_or(ImageError::Damaged)?;
                let turned = matches!(turn, Some(5..=8));
                let picture = if turned { Picture::new(height, width) } else { Picture::new(width, height) };
                return Ok(Found { media_type: "image/jpeg", picture });
            }
            0x01 | 0xd0..=0xd7 => out.write_all(&[0xff, code])?,
            0xc0..=0xcf | 0xda..=0xdf | 0xe0..=0xef | 0xfe => {
                let payload = payload(&mut reader)?;
                let is_frame = matches!(code, 0xc0..=0xcf) && !matches!(code, 0xc4 | 0xc8 | 0xcc);
                if is_frame {
                    let [_, h1, h2, w1, w2, ..] = payload.as_slice() else { return Err(ImageError::Damaged) };
                    let found = (u16::from_be_bytes([*w1, *w2]).into(), u16::from_be_bytes([*h1, *h2]).into());
                    // Of two frames nobody could say which one is shown.
                    if size.replace(found).is_some() {
                        return Err(ImageError::Damaged);
                    }
                }
                if code == 0xe1 && turn.is_none() && payload.starts_with(EXIF) {
                    turn = payload.get(EXIF.len()..).and_then(orientation);
                    if let Some(turn) = turn {
                        write(out, code, &alone(turn))?;
                    }
                }
                if let Some(kept) = kept(code, &payload) {
                    write(out, code, &kept)?;
                }
                if code == 0xda {
                    code = scan(&mut reader, out)?;
                    continue;
                }
            }
            _ => return Err(ImageError::Damaged),
        }
        code = marker(&mut reader)?;
    }
}

/// What of a segment is needed to show the picture.
fn kept(code: u8, payload: &[u8]) -> Option<Vec<u8>> {
    match code {
        0xe0 if payload.starts_with(b"JFIF\0") => {
            let mut head = payload.get(..JFIF_BYTES)?.to_vec();
            // Without the thumbnail.
            head.iter_mut().rev().take(2).for_each(|side| *side = 0);
            Some(head)
        }
        // How colours are meant.
        0xe2 if payload.starts_with(ICC) => Some(payload.to_vec()),
        0xee if payload.starts_with(b"Adobe") => payload.get(..ADOBE_BYTES).map(<[u8]>::to_vec),
        0xe0..=0xef | 0xfe => None,
        _ => Some(payload.to_vec()),
    }
}

/// The code of the next marker.
fn marker(reader: &mut Reader<'_>) -> Result<u8, ImageError> {
    let [0xff] = exactly::<1>(reader)? else { return Err(ImageError::Damaged) };
    loop {
        match exactly::<1>(reader)? {
            [0xff] => {}
            [code] => return Ok(code),
        }
    }
}

fn payload(reader: &mut Reader<'_>) -> Result<Vec<u8>, ImageError> {
    let length = u16::from_be_bytes(exactly(reader)?).checked_sub(2).ok_or(ImageError::Damaged)?;
    let mut payload = vec![0; length.into()];
    std::io::Read::read_exact(reader, &mut payload).map_err(ended)?;
    Ok(payload)
}

fn write(out: &mut dyn Write, code: u8, payload: &[u8]) -> Result<(), ImageError> {
    let length = u16::try_from(payload.len().saturating_add(2)).map_err(|_| ImageError::Damaged)?;
    out.write_all(&[0xff, code])?;
    out.write_all(&length.to_be_bytes())?;
    Ok(out.write_all(payload)?)
}

/// Copies a scan: up to the marker that ends it, whose code is given.
fn scan(reader: &mut Reader<'_>, out: &mut dyn Write) -> Result<u8, ImageError> {
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Err(ImageError::Damaged);
        }
        let before = bytes.iter().position(|byte| *byte == 0xff);
        let length = before.unwrap_or(bytes.len());
        out.write_all(bytes.get(..length).unwrap_or_default())?;
        reader.consume(length);
        if before.is_none() {
            continue;
        }
        match marker(reader)? {
            // A byte of the scan that looks like a marker, or a mark within it.
            code @ (0 | 0xd0..=0xd7) => out.write_all(&[0xff, code])?,
            code => return Ok(code),
        }
    }
}

/// The turn that an Exif segment tells, 2 to 8; `None` for none.
fn orientation(tiff: &[u8]) -> Option<u8> {
    let big = match tiff.get(..4)? {
        b"MM\0*" => true,
        b"II*\0" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes: [u8; 2] = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let bytes: [u8; 4] = tiff.get(4..8)?.try_into().ok()?;
    let directory = usize::try_from(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }).ok()?;
    let count = usize::from(short(directory)?).min(ENTRIES_MAX);
    let entries = (0..count).map_while(|number| directory.checked_add(2)?.checked_add(number.checked_mul(12)?));
    let entry = entries.into_iter().find(|at| short(*at) == Some(ORIENTATION))?;
    let turn = short(entry.checked_add(8)?)?;
    u8::try_from(turn).ok().filter(|turn| (2..=8).contains(turn))
}

/// An Exif segment that tells a turn and nothing else.
fn alone(turn: u8) -> Vec<u8> {
    let [first, second] = ORIENTATION.to_be_bytes();
    let directory = [0, 1, first, second, 0, 3, 0, 0, 0, 1, 0, turn, 0, 0, 0, 0, 0, 0];
    [EXIF, b"MM\0*\0\0\0\x08", &directory].concat()
}
