//! A file inside a [`Content`](crate::Content): where its bytes are, what opens them, and what they are said to be.
//!
//! What the writer says of it is not proved before the bytes are there; what could harm whoever only shows or saves it cannot
//! be said at all, because these types do not hold it.

use std::fmt;

use crate::codec::DecodeError;
use crate::ids::BlobId;
use crate::said::{Lifetime, Reference, invalid, lifetime, seconds};
use crate::{limits, wire};

/// A name under which a file may be saved on any system: 1 to [`limits::FILE_NAME_BYTES_MAX`] bytes, no path, no controls or marks of
/// direction, no name that a system keeps for a device. Whatever was given becomes one. `Debug` shows the length.
#[derive(Clone, PartialEq, Eq)]
pub struct FileName(String);

/// What a file is called that has no name.
const NAMELESS: &str = "file";
/// Longest ending that stays when a name is cut, in bytes with its dot.
const ENDING_BYTES_MAX: usize = 16;

/// Whether a character steers a terminal or the direction of a line, or is not seen at all.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// Whether Windows keeps the name for a device, whatever its ending.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    let mut chars = stem.chars();
    match chars.by_ref().take(3).collect::<String>().as_str() {
        "COM" | "LPT" => {
            matches!(chars.next(), Some('0'..='9' | '\u{b9}' | '\u{b2}' | '\u{b3}')) && chars.next().is_none()
        }
        "CON" => chars.next().is_none() || stem == "CONIN$" || stem == "CONOUT$",
        "PRN" | "AUX" | "NUL" => chars.next().is_none(),
        _ => false,
    }
}

/// What Windows drops at the end of a name, and what is not seen there.
fn ends_nothing(c: char) -> bool {
    c == '.' || c.is_whitespace()
}

/// At most so many bytes, cut between two characters.
fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

impl FileName {
    /// The last part of a path, made harmless. What is a name already stays as it is.
    pub fn new(given: &str) -> Self {
        let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
        let kept = last.chars().filter(|c| !steers(*c));
        let replaced: String = kept.map(|c| if "<>:\"|?*".contains(c) { '_' } else { c }).collect();
        let trimmed = replaced.trim_start().trim_end_matches(ends_nothing);
        let mut name = match trimmed.chars().next() {
            None => NAMELESS.to_owned(),
            // Hidden in a folder, or an option of whatever it is given to.
            Some('.' | '-' | '~') => format!("_{}", trimmed.get(1..).unwrap_or_default()),
            Some(_) => trimmed.to_owned(),
        };
        if is_device(&name) {
            name.insert(0, '_');
        }
        if name.len() > limits::FILE_NAME_BYTES_MAX {
            let dot = name.rfind('.').filter(|dot| name.len().saturating_sub(*dot) <= ENDING_BYTES_MAX);
            let ending = dot.and_then(|dot| name.get(dot..)).unwrap_or_default().to_owned();
            let stem = cut(&name, limits::FILE_NAME_BYTES_MAX.saturating_sub(ending.len()));
            name = format!("{}{ending}", stem.trim_end_matches(ends_nothing));
        }
        Self(name)
    }

    /// As it is shown, and saved.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileName({} B)", self.0.len())
    }
}

/// What kind of file it is said to be, like `image/png`: lower case ASCII, at most [`limits::MEDIA_TYPE_BYTES_MAX`] bytes, without
/// parameters. It decides how a file is shown, and nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType(String);

impl MediaType {
    /// Any bytes.
    pub const UNKNOWN: &str = "application/octet-stream";

    /// What is none becomes [`Self::UNKNOWN`].
    pub fn new(given: &str) -> Self {
        let token = |part: &str| {
            let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "!#$&-^_.+".contains(c);
            !part.is_empty() && part.chars().all(good)
        };
        let good = given.len() <= limits::MEDIA_TYPE_BYTES_MAX
            && given.split_once('/').is_some_and(|(kind, rest)| token(kind) && token(rest));
        Self(if good { given } else { Self::UNKNOWN }.to_owned())
    }

    /// Like `image/png`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The size of a picture in pixels: each side 1 to [`limits::PICTURE_SIDE_MAX`], and at most [`limits::PICTURE_PIXELS_MAX`] in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
}

impl Picture {
    /// `None` outside of the bounds: it would cost more to show than it is worth.
    pub fn new(width: u32, height: u32) -> Option<Self> {
        let sides = [width, height].into_iter().all(|side| (1..=limits::PICTURE_SIDE_MAX).contains(&side));
        let pixels = u64::from(width) * u64::from(height);
        (sides && pixels <= limits::PICTURE_PIXELS_MAX).then_some(Self { width, height })
    }

    /// In pixels.
    pub const fn width(self) -> u32 {
        self.width
    }

    /// In pixels.
    pub const fn height(self) -> u32 {
        self.height
    }
}

/// Something that was spoken. `Debug` shows how long it takes.
#[derive(Clone, PartialEq, Eq)]
pub struct Voice {
    /// In milliseconds.
    pub duration_ms: u32,
    /// How loud it is, from its beginning to its end: at most [`limits::WAVEFORM_BYTES_MAX`] values of 0 to 255.
    waveform: Vec<u8>,
}

impl Voice {
    /// `None` with more values than [`limits::WAVEFORM_BYTES_MAX`].
    pub fn new(duration_ms: u32, waveform: Vec<u8>) -> Option<Self> {
        (waveform.len() <= limits::WAVEFORM_BYTES_MAX).then_some(Self { duration_ms, waveform })
    }

    /// How loud it is, from its beginning to its end.
    pub fn waveform(&self) -> &[u8] {
        &self.waveform
    }
}

impl fmt::Debug for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Voice({} ms)", self.duration_ms)
    }
}

/// How a file is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// By its name.
    File,
    /// As a picture, of which the writer says that it has this size.
    Picture(Picture),
    /// As something to be heard.
    Voice(Voice),
}

/// A file that lies at the server, sealed. `Debug` shows how long it is.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Where.
    pub blob: BlobId,
    /// What opens it; used for nothing else.
    pub key: [u8; 32],
    /// BLAKE3 of its bytes.
    pub hash: [u8; 32],
    /// How many it has, at most [`limits::FILE_BYTES_MAX`].
    pub bytes: u64,
    /// What it is called.
    pub name: FileName,
    /// What kind it is said to be.
    pub media_type: MediaType,
    /// How it is shown.
    pub shown: Shown,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({} B)", self.bytes)
    }
}

/// A file, with what it answers and how long it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The file.
    pub file: File,
    /// The message that it answers.
    pub reply_to: Option<Reference>,
    /// As of a text.
    pub lives_for: Option<Lifetime>,
}

impl From<&Attached> for wire::File {
    fn from(Attached { file, reply_to, lives_for }: &Attached) -> Self {
        let copy = bytes::Bytes::copy_from_slice;
        Self {
            blob: copy(&file.blob.0),
            key: copy(&file.key),
            hash: copy(&file.hash),
            bytes: file.bytes,
            name: file.name.0.clone(),
            media_type: file.media_type.0.clone(),
            shown: match &file.shown {
                Shown::File => None,
                Shown::Picture(Picture { width, height }) => {
                    Some(wire::file::Shown::Picture(wire::Picture { width: *width, height: *height }))
                }
                Shown::Voice(voice) => Some(wire::file::Shown::Voice(wire::Voice {
                    duration_ms: voice.duration_ms,
                    waveform: copy(&voice.waveform),
                })),
            },
            reply_to: reply_to.map(Into::into),
            lives_for_s: seconds(*lives_for),
        }
    }
}

impl TryFrom<wire::File> for Attached {
    type Error = DecodeError;

    fn try_from(wire: wire::File) -> Result<Self, DecodeError> {
        let shown = match wire.shown {
            None => Shown::File,
            // A picture that is too large to be shown is a file like any other.
            Some(wire::file::Shown::Picture(wire::Picture { width, height })) => {
                Picture::new(width, height).map_or(Shown::File, Shown::Picture)
            }
            Some(wire::file::Shown::Voice(wire::Voice { duration_ms, waveform })) => {
                Shown::Voice(Voice::new(duration_ms, waveform.to_vec()).ok_or(invalid("waveform"))?)
            }
        };
        if wire.bytes > limits::FILE_BYTES_MAX {
            return Err(invalid("bytes"));
        }
        Ok(Self {
            file: File {
                blob: BlobId(wire.blob.as_ref().try_into().map_err(|_| invalid("blob"))?),
                key: wire.key.as_ref().try_into().map_err(|_| invalid("key"))?,
                hash: wire.hash.as_ref().try_into().map_err(|_| invalid("hash"))?,
                bytes: wire.bytes,
                name: FileName::new(&wire.name),
                media_type: MediaType::new(&wire.media_type),
                shown,
            },
            reply_to: wire.reply_to.map(TryInto::try_into).transpose()?,
            lives_for: lifetime(wire.lives_for_s)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(given: &str) -> String {
        FileName::new(given).0
    }

    #[test]
    fn a_name_leads_nowhere() {
        for given in ["../../etc/passwd", "/etc/passwd", "..\\..\\passwd", "C:\\Windows\\passwd", "a/../passwd"] {
            assert_eq!(name(given), "passwd", "{given}");
        }
        for given in ["", ".", "..", "...", "/", "a/", " ", ". .", "\u{202e}", "\0"] {
            assert!(["file", "_"].contains(&name(given).as_str()), "{given:?} is {:?}", name(given));
        }
    }

    #[test]
    fn a_name_is_what_it_looks_like() {
        assert_eq!(name("photo\u{202e}gpj.exe"), "photogpj.exe");
        assert_eq!(name("a\u{1b}[2Jb\r\n\tc\u{200b}d\u{feff}.txt"), "a[2Jbcd.txt");
        assert_eq!(name("Übergröße 日本.pdf"), "Übergröße 日本.pdf");
        assert_eq!(name("what? \"this\": <a|b>*.txt"), "what_ _this__ _a_b__.txt");
    }

    #[test]
    fn a_name_is_no_device_and_no_option_and_not_hidden() {
        for given in ["CON", "nul.txt", "com1", "LPT9.tar.gz", "aux .txt", "Com\u{b2}", "CONIN$"] {
            assert!(name(given).starts_with('_'), "{given} is {}", name(given));
        }
        for given in ["console", "com", "com10", "null", "lpt"] {
            assert_eq!(name(given), given);
        }
        assert_eq!((name("-rf"), name(".bashrc"), name("~root")), ("_rf".into(), "_bashrc".into(), "_root".into()));
        assert_eq!(name("trailing. . "), "trailing");
    }

    #[test]
    fn a_long_name_keeps_its_ending() {
        let long = name(&format!("{}.tar", "ä".repeat(300)));
        assert!(long.len() <= limits::FILE_NAME_BYTES_MAX && long.ends_with("ä.tar"), "{long}");
        assert!(name(&"x".repeat(500)).len() == limits::FILE_NAME_BYTES_MAX);
        assert!(name(&format!("a.{}", "x".repeat(500))).len() == limits::FILE_NAME_BYTES_MAX);
    }

    #[test]
    fn a_kind_is_one_or_unknown() {
        assert_eq!(MediaType::new("image/svg+xml").as_str(), "image/svg+xml");
        for given in ["", "image", "image/", "/png", "a/b/c", "IMAGE/PNG", "text/html; x=y", "a/\u{202e}b"] {
            assert_eq!(MediaType::new(given).as_str(), MediaType::UNKNOWN, "{given}");
        }
        assert_eq!(MediaType::new(&format!("a/{}", "b".repeat(200))).as_str(), MediaType::UNKNOWN);
    }

    #[test]
    fn a_picture_is_no_bomb() {
        assert!(Picture::new(4_000, 3_000).is_some());
        for (width, height) in
            [(0, 1), (1, 0), (limits::PICTURE_SIDE_MAX + 1, 1), (16_000, 16_000), (u32::MAX, u32::MAX)]
        {
            assert_eq!(Picture::new(width, height), None, "{width} by {height}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_given_becomes_a_name_that_stays_one(given in any::<String>(), long in "[a-zA-Z./ \\\\-]{0,400}") {
            for given in [given, long] {
                let name = FileName::new(&given);
                let text = name.as_str();
                prop_assert!((1..=limits::FILE_NAME_BYTES_MAX).contains(&text.len()));
                prop_assert!(!text.contains(['/', '\\', ':', '\0']) && !text.chars().any(steers));
                prop_assert!(!text.starts_with(['.', '-', '~', ' ']) && !text.ends_with(['.', ' ']) && !is_device(text));
                prop_assert_eq!(FileName::new(text), name);
            }
        }
    }
}
