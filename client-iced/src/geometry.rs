//! Where a profile's window was the last time: a file of its own for each profile, beside the preferences. Nothing of it is secret.

use std::path::{Path, PathBuf};

use iced::{Point, Size};
use serde::{Deserialize, Serialize};

/// Longest file that is read, in bytes: ours has a few lines.
const FILE_BYTES_MAX: u64 = 4 * 1024;
/// Of the window at first.
const SIZE: Size = Size::new(1_080.0, 740.0);
/// The smallest that it may have.
pub const SIZE_MIN: Size = Size::new(360.0, 480.0);
/// The largest that is believed, and the farthest from a corner of the desktop, in logical pixels.
const REACH: f32 = 16_384.0;

/// Size and place of a window, in logical pixels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Geometry {
    /// Of what is inside its frame.
    pub width: f32,
    /// Of what is inside its frame.
    pub height: f32,
    /// From the left of the desktop; `None` where the system does not tell, or keeps places itself.
    pub x: Option<f32>,
    /// From the top of the desktop.
    pub y: Option<f32>,
}

impl Default for Geometry {
    fn default() -> Self {
        Self { width: SIZE.width, height: SIZE.height, x: None, y: None }
    }
}

impl Geometry {
    /// Where that of a profile is kept, beside the file of the preferences.
    pub fn path(preferences: &Path, home: &Path) -> PathBuf {
        let home = std::path::absolute(home).unwrap_or_else(|_| home.to_owned());
        let hash = blake3::derive_key("endtoend 2026 window of a profile", home.as_os_str().as_encoded_bytes());
        preferences.with_file_name(format!("window-{}.toml", hex::encode(hash.get(..8).unwrap_or_default())))
    }

    /// What the file says, as far as it makes sense.
    pub fn load(path: &Path) -> Self {
        let small = std::fs::metadata(path).is_ok_and(|file| file.len() <= FILE_BYTES_MAX);
        let text = if small { std::fs::read_to_string(path).ok() } else { None };
        let kept: Self = text.and_then(|text| toml::from_str(&text).ok()).unwrap_or_default();
        kept.sensible()
    }

    /// Keeps it: whole, or as it was.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        let text = toml::to_string(self).map_err(std::io::Error::other)?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let new = path.with_extension("toml.new");
        std::fs::write(&new, text)?;
        std::fs::rename(&new, path)
    }

    /// Its size.
    pub const fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }

    /// Its place.
    pub fn place(&self) -> Option<Point> {
        Some(Point::new(self.x?, self.y?))
    }

    fn sensible(self) -> Self {
        let length = |now: f32, min: f32, usual: f32| if (min..=REACH).contains(&now) { now } else { usual };
        // A little beyond the left or the top is where frames and shadows are.
        let near = |at: f32| (-64.0..=REACH).contains(&at);
        let (x, y) = match (self.x.filter(|x| near(*x)), self.y.filter(|y| near(*y))) {
            (Some(x), Some(y)) => (Some(x), Some(y)),
            _ => (None, None),
        };
        let width = length(self.width, SIZE_MIN.width, SIZE.width);
        Self { width, height: length(self.height, SIZE_MIN.height, SIZE.height), x, y }
    }
}

/// Not a size and a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a window is given as WIDTHxHEIGHT or WIDTHxHEIGHT+X+Y, at least 360x480")]
pub struct BadGeometry;

impl std::str::FromStr for Geometry {
    type Err = BadGeometry;

    fn from_str(text: &str) -> Result<Self, BadGeometry> {
        let number = |text: &str| text.parse::<u16>().map(f32::from).map_err(|_| BadGeometry);
        let mut parts = text.split('+');
        let (width, height) = parts.next().and_then(|size| size.split_once('x')).ok_or(BadGeometry)?;
        let place = match (parts.next(), parts.next(), parts.next()) {
            (None, None, None) => (None, None),
            (Some(x), Some(y), None) => (Some(number(x)?), Some(number(y)?)),
            _ => return Err(BadGeometry),
        };
        let given = Self { width: number(width)?, height: number(height)?, x: place.0, y: place.1 };
        if given.sensible() == given { Ok(given) } else { Err(BadGeometry) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_profile_s_window_is_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let preferences = folder.path().join("desktop.toml");
        let path = |home: &str| Geometry::path(&preferences, Path::new(home));
        let there = Geometry { width: 700.0, height: 500.0, x: Some(-8.0), y: Some(1_200.0) };
        there.save(&path("/tmp/alice")).unwrap();
        assert_eq!(Geometry::load(&path("/tmp/alice")), there);
        assert_eq!(Geometry::load(&path("/tmp/bob")), Geometry::default());
        let name = path("/tmp/alice").file_name().unwrap().to_string_lossy().into_owned();
        assert!(!name.contains("alice") && name.starts_with("window-"), "{name}");
    }

    #[test]
    fn no_window_is_too_small_to_use_or_out_of_sight() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("window.toml");
        for text in
            ["", "no toml", "width = 1\nheight = 1", "width = nan", "width = inf\nx = 90000\ny = 3", "x = -5000\ny = 1"]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(Geometry::load(&path), Geometry::default(), "{text}");
        }
    }

    #[test]
    fn a_window_is_given_by_size_and_perhaps_place() {
        let given = |text: &str| text.parse::<Geometry>();
        assert_eq!(given("900x740+20+40"), Ok(Geometry { width: 900.0, height: 740.0, x: Some(20.0), y: Some(40.0) }));
        assert_eq!(given("360x480").map(|it| it.place()), Ok(None));
        for bad in
            ["", "900", "900x", "100x740", "900x740+1", "900x740+1+2+3", "900x740+-1+2", "axb", "900x740+1+99999"]
        {
            assert_eq!(given(bad), Err(BadGeometry), "{bad}");
        }
    }
}
