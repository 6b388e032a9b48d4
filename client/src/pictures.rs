//! Pictures, unpacked with bounds; and codes in them.

use std::io::Cursor;

use endtoend_protocol::limits::{PICTURE_PIXELS_MAX, PICTURE_SIDE_MAX};
use image::{DynamicImage, ImageDecoder as _, ImageFormat, ImageReader, Limits};

use crate::files::images;

/// What a decoder may take, in bytes: the largest picture with 16 bits for each colour.
const DECODER_BYTES_MAX: u64 = PICTURE_PIXELS_MAX * 8;
/// Longest side in pixels of a picture in which a code is looked for: the time grows with the pixels, and codes are large on pictures of them.
const CODE_SIDE_MAX: u32 = 2_048;

/// No JPEG, PNG or WebP, or damaged, or beyond the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no picture that can be shown")]
pub struct NoPicture;

/// Unpacks a picture. What its file says of its size is looked at before anything is unpacked. It takes long.
///
/// # Errors
/// See [`NoPicture`].
pub fn unpack(bytes: &[u8]) -> Result<DynamicImage, NoPicture> {
    let found = images::look(bytes).ok_or(NoPicture)?;
    let format = ImageFormat::from_mime_type(found.media_type).ok_or(NoPicture)?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(PICTURE_SIDE_MAX);
    limits.max_image_height = Some(PICTURE_SIDE_MAX);
    limits.max_alloc = Some(DECODER_BYTES_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|_| NoPicture)?;
    let turn = decoder.orientation().map_err(|_| NoPicture)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|_| NoPicture)?;
    picture.apply_orientation(turn);
    Ok(picture)
}

/// What a QR code in a picture says; `None` when there is none that can be read.
///
/// # Errors
/// See [`NoPicture`].
pub fn code_in(bytes: &[u8]) -> Result<Option<String>, NoPicture> {
    let picture = unpack(bytes)?;
    let fits = picture.width() <= CODE_SIDE_MAX && picture.height() <= CODE_SIDE_MAX;
    let grey = if fits { picture.into_luma8() } else { picture.thumbnail(CODE_SIDE_MAX, CODE_SIDE_MAX).into_luma8() };
    let (width, height) = grey.dimensions();
    let at = |x: usize, y: usize| {
        let (x, y) = (u32::try_from(x).unwrap_or(u32::MAX), u32::try_from(y).unwrap_or(u32::MAX));
        grey.get_pixel_checked(x, y).map_or(u8::MAX, |pixel| pixel.0[0])
    };
    let (width, height) = (width.try_into().unwrap_or(0), height.try_into().unwrap_or(0));
    let mut prepared = rqrr::PreparedImage::prepare_from_greyscale(width, height, at);
    let codes = prepared.detect_grids();
    Ok(codes.into_iter().find_map(|code| code.decode().ok()).map(|(_, text)| text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(side: u32, level: impl Fn(u32, u32) -> u8) -> Vec<u8> {
        let drawn = image::GrayImage::from_fn(side, side, |x, y| image::Luma([level(x, y)]));
        let mut packed = Vec::new();
        drawn.write_to(&mut Cursor::new(&mut packed), ImageFormat::Png).unwrap();
        packed
    }

    #[test]
    fn a_code_in_a_picture_is_read_and_where_there_is_none_nothing() {
        let address = format!("endtoend://chat.example.org:8443/#pin={}", "5f".repeat(64));
        let code = qrcode::QrCode::new(&address).unwrap();
        let (side, colors) = (code.width() as u32, code.to_colors());
        let (module, margin) = (5, 4);
        let dark = |x: u32, y: u32| {
            let (column, row) = (x / module, y / module);
            let inside = (margin..margin + side).contains(&column) && (margin..margin + side).contains(&row);
            inside && colors[((row - margin) * side + column - margin) as usize] == qrcode::Color::Dark
        };
        let drawn = packed((side + 2 * margin) * module, |x, y| if dark(x, y) { 0 } else { 255 });
        assert_eq!(code_in(&drawn), Ok(Some(address)));
        assert_eq!(code_in(&packed(40, |x, y| (x * y % 251) as u8)), Ok(None));
        assert_eq!(code_in(b"no picture"), Err(NoPicture));
        assert_eq!(code_in(&drawn[..drawn.len() / 2]), Err(NoPicture));
    }
}
