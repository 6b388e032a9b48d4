//! Pictures that people have sent: unpacked with bounds, as large as they are shown and no larger, and never on the window's thread.

use std::io::Cursor;

use endtoend_client::pictures::{NoPicture, unpack};
use iced::widget::image::Handle;
use image::ImageFormat;
use zeroize::Zeroizing;

/// Longest side of a picture between messages, in pixels: as wide as a bubble on a screen of high density.
pub const SMALL_SIDE_MAX: u32 = 480;
/// Longest side of a picture that is shown alone, in pixels.
pub const LARGE_SIDE_MAX: u32 = 2_048;

/// How large a picture is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Between messages.
    Small,
    /// Alone.
    Large,
}

impl Scale {
    /// The longest side, in pixels.
    pub const fn side_max(self) -> u32 {
        match self {
            Self::Small => SMALL_SIDE_MAX,
            Self::Large => LARGE_SIDE_MAX,
        }
    }
}

/// A picture that can be drawn. A copy of it is not another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// What is drawn.
    pub handle: Handle,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// Why it cannot be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undrawable {
    /// No JPEG, PNG or WebP, or damaged, or beyond the bounds.
    #[error("this is no picture that can be shown")]
    NoPicture,
    /// The clipboard's has no form that can be sent.
    #[error("the picture cannot be packed")]
    Packing,
}

impl From<NoPicture> for Undrawable {
    fn from(NoPicture: NoPicture) -> Self {
        Self::NoPicture
    }
}

/// Unpacks a picture, no larger than it is to be. It takes long: see [`Scale`].
///
/// # Errors
/// See [`Undrawable`].
pub fn draw(bytes: &[u8], scale: Scale) -> Result<Drawn, Undrawable> {
    let picture = unpack(bytes)?;
    let side = scale.side_max();
    let fits = picture.width() <= side && picture.height() <= side;
    let pixels = if fits { picture.into_rgba8() } else { picture.thumbnail(side, side).into_rgba8() };
    let (width, height) = pixels.dimensions();
    Ok(Drawn { handle: Handle::from_rgba(width, height, pixels.into_raw()), width, height })
}

/// Packs pixels, four bytes each, as a PNG that can be sent.
///
/// # Errors
/// `NoPicture` for what is larger than what is ever shown, or has not as many bytes as pixels.
pub fn pack(width: u32, height: u32, pixels: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, Undrawable> {
    endtoend_protocol::Picture::new(width, height).ok_or(Undrawable::NoPicture)?;
    let picture = image::RgbaImage::from_raw(width, height, pixels).ok_or(Undrawable::NoPicture)?;
    let mut packed = Zeroizing::new(Vec::new());
    picture.write_to(&mut Cursor::new(&mut *packed), ImageFormat::Png).map_err(|_| Undrawable::Packing)?;
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(width: u32, height: u32) -> Vec<u8> {
        (0..width * height).flat_map(|at| [(at % 251) as u8, (at / width) as u8, 90, 255]).collect()
    }

    #[test]
    fn a_picture_is_no_larger_than_it_is_shown_and_keeps_its_shape() {
        let packed = pack(1_200, 300, pixels(1_200, 300)).unwrap();
        let drawn = draw(&packed, Scale::Small).unwrap();
        assert_eq!((drawn.width, drawn.height), (480, 120));
        let drawn = draw(&packed, Scale::Large).unwrap();
        assert_eq!((drawn.width, drawn.height), (1_200, 300));
        let Handle::Rgba { pixels: drawn, .. } = drawn.handle else { panic!("it is not unpacked") };
        assert_eq!(&drawn[..], pixels(1_200, 300).as_slice(), "what was packed is what is unpacked");
    }

    #[test]
    fn what_is_no_picture_or_a_bomb_is_not_unpacked() {
        let packed = pack(40, 30, pixels(40, 30)).unwrap();
        for bytes in [&b""[..], b"GIF89a", &packed[..packed.len() / 2]] {
            assert_eq!(draw(bytes, Scale::Small), Err(Undrawable::NoPicture));
        }
        let mut bomb = packed.to_vec();
        bomb[16..24].copy_from_slice(&[0, 0, 0x3f, 0xff, 0, 0, 0x3f, 0xff]);
        assert_eq!(draw(&bomb, Scale::Small), Err(Undrawable::NoPicture));
        assert_eq!(pack(40, 30, vec![0; 7]), Err(Undrawable::NoPicture));
        assert_eq!(pack(16_385, 1, vec![0; 16_385 * 4]), Err(Undrawable::NoPicture));
    }
}
