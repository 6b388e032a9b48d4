//! How somebody shows himself to those whom he has accepted: a name of his choice and a small picture.
//!
//! A picture of one's own is decoded, cut to a square, made small and written anew, so that nothing of its file stays but what is seen. One
//! of somebody else's is looked at without decoding it: a JPEG of a size that costs nothing to show, or none.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use endtoend_protocol::limits;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, Rgb, RgbImage};

use crate::files::images;
use crate::nickname::Nickname;
use crate::pictures::{self, NoPicture};

/// Longest file that a picture of one's own is made of, in bytes.
pub const SOURCE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Sides of what is made of it, in pixels: the first at which it is short enough.
const SIDES: [u32; 3] = [256, 192, 128];
/// Qualities that are tried at each.
const QUALITIES: [u8; 4] = [88, 76, 64, 48];

/// How somebody shows himself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Face {
    /// What he calls himself. It proves nothing: two people may choose the same, or another's handle.
    pub name: Option<Nickname>,
    /// How he looks.
    pub portrait: Option<Portrait>,
}

/// A JPEG of at most [`limits::FACE_PICTURE_BYTES_MAX`] bytes whose sides are at most [`limits::FACE_PICTURE_SIDE_MAX`] pixels. `Debug` shows
/// its length.
#[derive(Clone, PartialEq, Eq)]
pub struct Portrait(Vec<u8>);

impl fmt::Debug for Portrait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Portrait({} B)", self.0.len())
    }
}

/// Why no portrait was made.
#[derive(Debug, thiserror::Error)]
pub enum PortraitError {
    /// It cannot be read.
    #[error("the picture cannot be read")]
    Unreadable(#[from] std::io::Error),
    /// Use a smaller one.
    #[error("the picture has more than {} MiB", SOURCE_BYTES_MAX / (1024 * 1024))]
    TooLong,
    /// Use another.
    #[error("the file is no JPEG, PNG or WebP picture, is damaged, or has more pixels than are ever shown")]
    NoPicture,
}

/// Which square of a picture becomes a portrait. All parts are of 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// How much of the shorter side the square takes: [`Cut::SIDE_MIN`] to [`Cut::WHOLE`].
    pub side: u16,
    /// How much of the room beside the square is on its left.
    pub left: u16,
    /// How much of the room above and below it is above.
    pub top: u16,
}

impl Cut {
    /// All of something.
    pub const WHOLE: u16 = 1_000;
    /// Of a picture that is large enough less than that is a speck.
    pub const SIDE_MIN: u16 = 100;

    /// The square of a picture of this size, in pixels: left edge, upper edge, side. It lies within.
    pub fn square(self, width: u32, height: u32) -> (u32, u32, u32) {
        let part = |of: u32, part: u16| {
            let part = u64::from(of) * u64::from(part.min(Self::WHOLE)) / u64::from(Self::WHOLE);
            u32::try_from(part).unwrap_or(of)
        };
        let whole = width.min(height);
        let side = part(whole, self.side.max(Self::SIDE_MIN)).max(whole.min(1));
        (part(width - side, self.left), part(height - side, self.top), side)
    }
}

/// The middle, as much of it as there is.
impl Default for Cut {
    fn default() -> Self {
        Self { side: Self::WHOLE, left: Self::WHOLE / 2, top: Self::WHOLE / 2 }
    }
}

impl Portrait {
    /// `None` for what is none. Nothing is decoded.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        if bytes.len() > limits::FACE_PICTURE_BYTES_MAX {
            return None;
        }
        let found = images::look(&bytes).filter(|found| found.media_type == "image/jpeg")?;
        let fits = |side: u32| side <= limits::FACE_PICTURE_SIDE_MAX;
        found.picture.filter(|picture| fits(picture.width()) && fits(picture.height())).map(|_| Self(bytes))
    }

    /// Makes one of a picture in a file: its middle, as a square. Takes as long as decoding does.
    ///
    /// # Errors
    /// See [`PortraitError`].
    pub fn from_file(path: &Path) -> Result<Self, PortraitError> {
        Self::made_of(&source(path)?, Cut::default())
    }

    /// The same of a picture that was read with [`source`], and of the square that somebody has chosen.
    ///
    /// # Errors
    /// See [`PortraitError`].
    pub fn made_of(bytes: &[u8], cut: Cut) -> Result<Self, PortraitError> {
        let image = pictures::unpack(bytes).map_err(|NoPicture| PortraitError::NoPicture)?;
        let (left, top, side) = cut.square(image.width(), image.height());
        let square = image.crop_imm(left, top, side, side);
        for side in SIDES {
            let small = on_white(&square.resize_exact(side, side, FilterType::Triangle));
            for quality in QUALITIES {
                let mut made = Vec::new();
                JpegEncoder::new_with_quality(&mut made, quality)
                    .encode_image(&small)
                    .map_err(|_| PortraitError::NoPicture)?;
                if let Some(portrait) = Self::from_bytes(made) {
                    return Ok(portrait);
                }
            }
        }
        Err(PortraitError::NoPicture)
    }

    /// The JPEG.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Tells two of them apart.
    pub fn hash(&self) -> [u8; 32] {
        *blake3::hash(&self.0).as_bytes()
    }
}

/// A picture in a file, to make a portrait of. Waits for nobody who writes into a pipe.
///
/// # Errors
/// `Unreadable`, also for what is no file, and `TooLong`.
pub fn source(path: &Path) -> Result<Vec<u8>, PortraitError> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::from(std::io::ErrorKind::InvalidInput).into());
    }
    let mut bytes = Vec::new();
    BufReader::new(File::open(path)?).take(SOURCE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SOURCE_BYTES_MAX {
        return Err(PortraitError::TooLong);
    }
    Ok(bytes)
}

/// What shows through is white.
fn on_white(image: &DynamicImage) -> RgbImage {
    let rgba = image.to_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [r, g, b, a] = rgba.get_pixel(x, y).0.map(u16::from);
        let over = |color: u16| u8::try_from((color * a + 255 * (255 - a)) / 255).unwrap_or(u8::MAX);
        Rgb([over(r), over(g), over(b)])
    })
}

impl Face {
    /// What was said, read: a name becomes harmless, or none, and so does a picture that is no portrait.
    pub fn read(said: &endtoend_protocol::Face) -> Self {
        let portrait = if said.picture.is_empty() { None } else { Portrait::from_bytes(said.picture.to_vec()) };
        Self { name: Nickname::harmless(&said.name), portrait }
    }

    /// To be said.
    pub fn said(&self) -> endtoend_protocol::Face {
        endtoend_protocol::Face {
            name: self.name.as_ref().map(|name| name.as_str().to_owned()).unwrap_or_default(),
            picture: self.portrait.as_ref().map(|portrait| portrait.0.clone().into()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn picture(width: u32, height: u32, format: image::ImageFormat) -> Vec<u8> {
        // Noise, which no encoder makes short.
        let mut state = 1_u32;
        let image = RgbImage::from_fn(width, height, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let [a, b, c, _] = state.to_be_bytes();
            Rgb([a, b, c])
        });
        let mut bytes = Vec::new();
        DynamicImage::ImageRgb8(image).write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        bytes
    }

    fn made_of(bytes: &[u8]) -> Result<Portrait, PortraitError> {
        Portrait::made_of(bytes, Cut::default())
    }

    #[test]
    fn the_square_that_was_chosen_lies_within_the_picture() {
        let cut = |side, left, top| Cut { side, left, top };
        assert_eq!(Cut::default().square(700, 300), (200, 0, 300));
        assert_eq!(cut(500, 0, 1_000).square(700, 300), (0, 150, 150));
        assert_eq!(cut(1_000, 1_000, 1_000).square(300, 700), (0, 400, 300));
        for (width, height) in [(0, 0), (0, 9), (1, 1), (3, 20_000), (16_384, 16_384)] {
            for cut in [cut(0, 0, 0), cut(u16::MAX, u16::MAX, u16::MAX), cut(137, 993, 1)] {
                let (left, top, side) = cut.square(width, height);
                assert!(left + side <= width && top + side <= height, "{cut:?} of {width} x {height}");
                assert_eq!(side == 0, width.min(height) == 0, "something is left of something");
            }
        }
    }

    #[test]
    fn what_was_cut_away_is_not_in_the_portrait() {
        // Black on the left, white on the right.
        let halves = RgbImage::from_fn(200, 100, |x, _| if x < 100 { Rgb([0; 3]) } else { Rgb([255; 3]) });
        let mut bytes = Vec::new();
        DynamicImage::ImageRgb8(halves).write_to(&mut Cursor::new(&mut bytes), image::ImageFormat::Png).unwrap();
        for (left, level) in [(0, 0), (Cut::WHOLE, 255)] {
            let portrait = Portrait::made_of(&bytes, Cut { left, ..Cut::default() }).unwrap();
            let drawn = image::load_from_memory(portrait.as_bytes()).unwrap().into_luma8();
            assert!(drawn.pixels().all(|pixel| pixel.0[0].abs_diff(level) < 8), "{left}");
        }
    }

    #[test]
    fn whatever_picture_is_chosen_becomes_a_small_square_without_its_metadata() {
        for format in [image::ImageFormat::Png, image::ImageFormat::Jpeg] {
            let portrait = made_of(&picture(700, 300, format)).unwrap();
            assert!(portrait.as_bytes().len() <= limits::FACE_PICTURE_BYTES_MAX);
            let found = images::look(portrait.as_bytes()).unwrap().picture.unwrap();
            assert!(found.width() == found.height() && SIDES.contains(&found.width()), "{found:?}");
            assert_eq!(Portrait::from_bytes(portrait.as_bytes().to_vec()), Some(portrait));
        }
    }

    #[test]
    fn what_a_camera_wrote_into_it_is_gone() {
        let mut bytes = picture(40, 40, image::ImageFormat::Jpeg);
        let comment = b"SECRET place and time";
        let length = u16::try_from(comment.len() + 2).unwrap().to_be_bytes();
        bytes.splice(2..2, [&[0xff, 0xfe][..], &length, comment].concat());
        let portrait = made_of(&bytes).unwrap();
        assert!(bytes.windows(6).any(|window| window == b"SECRET"));
        assert!(!portrait.as_bytes().windows(6).any(|window| window == b"SECRET"));
    }

    #[test]
    fn what_is_too_large_or_no_jpeg_is_no_portrait() {
        let side = limits::FACE_PICTURE_SIDE_MAX;
        let small = picture(8, 8, image::ImageFormat::Jpeg);
        assert!(Portrait::from_bytes(small.clone()).is_some());
        assert_eq!(Portrait::from_bytes(picture(8, 8, image::ImageFormat::Png)), None);
        assert_eq!(Portrait::from_bytes(picture(side + 1, 1, image::ImageFormat::Jpeg)), None);
        assert_eq!(Portrait::from_bytes(picture(256, 256, image::ImageFormat::Jpeg)), None, "too many bytes");
        assert_eq!(Portrait::from_bytes(b"<svg onload=alert(1)>".to_vec()), None);
        // A head that promises more than there may be, before anything is unpacked.
        let mut bomb = picture(8, 8, image::ImageFormat::Png);
        bomb[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        assert!(matches!(made_of(&bomb), Err(PortraitError::NoPicture)));
        assert!(matches!(made_of(&small[..small.len() / 2]), Err(PortraitError::NoPicture)));
    }

    #[test]
    fn what_somebody_calls_himself_steers_nothing() {
        let said = |name: &str| endtoend_protocol::Face { name: name.to_owned(), picture: b"no picture"[..].into() };
        let read = Face::read(&said("\u{202e}Alice\n\u{1b}[31m"));
        assert_eq!((read.name.unwrap().as_str(), read.portrait), ("Alice[31m", None));
        assert_eq!(Face::read(&said(" \u{2066} ")), Face::default());
    }
}
