//! How things look: colours, typefaces, sizes, the styles of widgets.

pub mod colors;
pub mod fonts;
pub mod styles;

use iced::Theme;
use iced::theme::Palette;

pub use colors::Colors;
pub use fonts::{ANY_EMOJI, EMOJI, FONTS, REGULAR, STRONG};

use crate::preferences::{Accent, Appearance};

/// Sizes of letters, in logical pixels.
pub mod size {
    /// Times and marks.
    pub const SMALL: u32 = 12;
    /// Previews and hints.
    pub const NOTE: u32 = 13;
    /// What is read.
    pub const BODY: u32 = 15;
    /// Names at the head of something.
    pub const HEAD: u32 = 18;
    /// The one heading of a page.
    pub const TITLE: u32 = 26;
}

/// Corners of cards and bubbles, in logical pixels.
pub const CORNER: f32 = 12.0;
/// Corners of buttons and fields.
pub const CORNER_SMALL: f32 = 8.0;

fn palette(colors: Colors) -> Palette {
    Palette {
        background: colors.surface,
        text: colors.text,
        primary: colors.accent,
        success: colors.accent,
        warning: colors.on_warning,
        danger: colors.danger,
    }
}

/// The theme that was chosen; `dark` is what the system says.
pub fn theme(appearance: Appearance, dark: bool, accent: Accent) -> Theme {
    let dark = match appearance {
        Appearance::System => dark,
        Appearance::Light => false,
        Appearance::Dark => true,
    };
    match dark {
        true => Theme::custom("dark", palette(colors::DARK.with(accent))),
        false => Theme::custom("light", palette(colors::LIGHT.with(accent))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_theme_finds_its_own_colours_again() {
        for accent in Accent::ALL {
            let of = |appearance, dark| Colors::of(&theme(appearance, dark, accent));
            assert_eq!(of(Appearance::Light, true), colors::LIGHT.with(accent));
            assert_eq!(of(Appearance::Dark, false), colors::DARK.with(accent));
            assert_eq!(of(Appearance::System, true), colors::DARK.with(accent));
            assert_eq!(of(Appearance::System, false), colors::LIGHT.with(accent));
        }
        assert_eq!(Colors::of(&theme(Appearance::Light, false, Accent::default())), colors::LIGHT);
        assert_eq!(Colors::of(&theme(Appearance::Dark, false, Accent::default())), colors::DARK);
    }
}
