//! The colours, light and dark. A test computes that what is to be read can be read: WCAG 2.1, level AA.

use iced::{Color, Theme, color};

use crate::preferences::Accent;

/// What a colour is for. Two sets, each with the accents that there are, and nothing else in the program names a colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Colors {
    /// Behind the list of conversations and around cards.
    pub ground: Color,
    /// Behind messages, and of cards.
    pub surface: Color,
    /// Of what lies on a surface: fields, quiet buttons.
    pub raised: Color,
    /// Under the pointer, and what is chosen.
    pub chosen: Color,
    /// Words.
    pub text: Color,
    /// Words that stand back: times, previews, hints.
    pub muted: Color,
    /// Lines between things.
    pub line: Color,
    /// Edges of fields.
    pub edge: Color,
    /// What a person is led to; also words and edges.
    pub accent: Color,
    /// Words on the accent.
    pub on_accent: Color,
    /// Behind messages of one's own.
    pub own: Color,
    /// Behind messages of others.
    pub theirs: Color,
    /// What cannot be taken back, and what failed.
    pub danger: Color,
    /// Words on danger.
    pub on_danger: Color,
    /// Behind something to be careful about.
    pub warning: Color,
    /// Words on that.
    pub on_warning: Color,
    /// Of a face's ground: saturation and lightness. The hue is the person's.
    pub face: (f32, f32),
}

/// Behind code, on whatever it stands.
pub const CODE: Color = Color { r: 0.5, g: 0.5, b: 0.5, a: 0.18 };

/// By day.
pub const LIGHT: Colors = Colors {
    ground: color!(0xF3F4F1),
    surface: color!(0xFFFFFF),
    raised: color!(0xF3F4F1),
    chosen: color!(0xE1E8E4),
    text: color!(0x1D2422),
    muted: color!(0x56615D),
    line: color!(0xDEE2DF),
    edge: color!(0x7E8985),
    accent: color!(0x1F6B5C),
    on_accent: color!(0xFFFFFF),
    own: color!(0xD8EBE4),
    theirs: color!(0xEEF0EE),
    danger: color!(0xA8281E),
    on_danger: color!(0xFFFFFF),
    warning: color!(0xFBEFCB),
    on_warning: color!(0x54400A),
    face: (0.35, 0.40),
};

/// By night.
pub const DARK: Colors = Colors {
    ground: color!(0x151918),
    surface: color!(0x1C2120),
    raised: color!(0x272E2C),
    chosen: color!(0x2C3835),
    text: color!(0xE4E9E7),
    muted: color!(0xA0ABA7),
    line: color!(0x2D3533),
    edge: color!(0x75817D),
    accent: color!(0x7CC8B6),
    on_accent: color!(0x0B231D),
    own: color!(0x1D3F36),
    theirs: color!(0x29302E),
    danger: color!(0xF2A39A),
    on_danger: color!(0x3A0D08),
    warning: color!(0x3B3218),
    on_warning: color!(0xF0DFA9),
    face: (0.30, 0.38),
};

/// Accent, words on it, and behind messages of one's own: by day.
const fn by_day(accent: Accent) -> [Color; 3] {
    match accent {
        Accent::Green => [LIGHT.accent, LIGHT.on_accent, LIGHT.own],
        Accent::Blue => [color!(0x1D5A96), color!(0xFFFFFF), color!(0xD9E6F4)],
        Accent::Violet => [color!(0x6A3F97), color!(0xFFFFFF), color!(0xE8DFF3)],
        Accent::Rust => [color!(0x8F4218), color!(0xFFFFFF), color!(0xF6E2D7)],
        Accent::Grey => [color!(0x4A5350), color!(0xFFFFFF), color!(0xDFE4E1)],
    }
}

/// The same by night.
const fn by_night(accent: Accent) -> [Color; 3] {
    match accent {
        Accent::Green => [DARK.accent, DARK.on_accent, DARK.own],
        Accent::Blue => [color!(0x8FBCEB), color!(0x0A2036), color!(0x1C3550)],
        Accent::Violet => [color!(0xC3A6EC), color!(0x21103A), color!(0x352A4D)],
        Accent::Rust => [color!(0xF0B08C), color!(0x3A1604), color!(0x4B2E1F)],
        Accent::Grey => [color!(0xB6C2BE), color!(0x161C1A), color!(0x343C39)],
    }
}

impl Colors {
    /// Those of a theme that this program has made.
    pub fn of(theme: &Theme) -> Self {
        let colors = if theme.extended_palette().is_dark { DARK } else { LIGHT };
        let primary = theme.palette().primary;
        let own = Accent::ALL.into_iter().map(|accent| colors.with(accent)).find(|it| it.accent == primary);
        own.unwrap_or(colors)
    }

    /// The same with another accent.
    pub fn with(self, accent: Accent) -> Self {
        let [accent, on_accent, own] = if self.ground == DARK.ground { by_night(accent) } else { by_day(accent) };
        Self { accent, on_accent, own, ..self }
    }

    /// The colour of the face whose hue is this, in degrees.
    pub fn face(self, hue: f32) -> Color {
        let (saturation, lightness) = self.face;
        hsl(hue, saturation, lightness)
    }
}

/// From hue in degrees, saturation and lightness from 0 to 1.
pub fn hsl(hue: f32, saturation: f32, lightness: f32) -> Color {
    let reach = saturation * lightness.min(1.0 - lightness);
    let part = |n: f32| {
        let k = (n + hue / 30.0) % 12.0;
        lightness - reach * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0)
    };
    Color::from_rgb(part(0.0), part(8.0), part(4.0))
}

/// How well one colour stands out from another: 1 to 21, by WCAG 2.1.
pub fn contrast(one: Color, other: Color) -> f32 {
    let (one, other) = (one.relative_luminance(), other.relative_luminance());
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Level AA for words.
    const WORDS: f32 = 4.5;
    /// Level AA for edges and marks.
    const EDGES: f32 = 3.0;

    #[test]
    fn what_is_to_be_read_can_be_read() {
        let sets = Accent::ALL.into_iter().flat_map(|accent| {
            [(format!("light, {accent:?}"), LIGHT.with(accent)), (format!("dark, {accent:?}"), DARK.with(accent))]
        });
        for (name, c) in sets {
            let words = [
                ("text on ground", c.text, c.ground),
                ("text on surface", c.text, c.surface),
                ("text on raised", c.text, c.raised),
                ("text on chosen", c.text, c.chosen),
                ("text on own", c.text, c.own),
                ("text on theirs", c.text, c.theirs),
                ("muted on ground", c.muted, c.ground),
                ("muted on surface", c.muted, c.surface),
                ("muted on raised", c.muted, c.raised),
                ("muted on chosen", c.muted, c.chosen),
                ("muted on own", c.muted, c.own),
                ("muted on theirs", c.muted, c.theirs),
                ("accent on ground", c.accent, c.ground),
                ("accent on surface", c.accent, c.surface),
                ("accent on raised", c.accent, c.raised),
                ("accent on own", c.accent, c.own),
                ("accent on theirs", c.accent, c.theirs),
                ("on accent", c.on_accent, c.accent),
                ("danger on ground", c.danger, c.ground),
                ("danger on surface", c.danger, c.surface),
                ("danger on own", c.danger, c.own),
                ("on danger", c.on_danger, c.danger),
                ("on warning", c.on_warning, c.warning),
            ];
            for (what, word, ground) in words {
                let contrast = contrast(word, ground);
                assert!(contrast >= WORDS, "{name}: {what} has {contrast:.2}");
            }
            for (what, edge, ground) in [
                ("edge on surface", c.edge, c.surface),
                ("edge on ground", c.edge, c.ground),
                ("accent on surface", c.accent, c.surface),
                // The ring around what has the keyboard, and the line within it.
                ("accent on raised", c.accent, c.raised),
                ("accent on chosen", c.accent, c.chosen),
                ("accent on warning", c.accent, c.warning),
                ("surface on accent", c.surface, c.accent),
                ("surface on danger", c.surface, c.danger),
            ] {
                let contrast = contrast(edge, ground);
                assert!(contrast >= EDGES, "{name}: {what} has {contrast:.2}");
            }
            for hue in 0..36_u16 {
                let contrast = contrast(Color::WHITE, c.face(f32::from(hue) * 10.0));
                assert!(contrast >= EDGES, "{name}: a face of {hue}0 degrees has {contrast:.2}");
            }
        }
    }

    #[test]
    fn contrast_is_as_the_standard_counts_it() {
        assert!((contrast(Color::BLACK, Color::WHITE) - 21.0).abs() < 0.01);
        assert!((contrast(Color::WHITE, Color::WHITE) - 1.0).abs() < 0.01);
        // An example that tools agree upon.
        assert!((contrast(color!(0x767676), Color::WHITE) - 4.54).abs() < 0.01);
        assert_eq!(hsl(0.0, 1.0, 0.5), color!(0xFF0000));
        assert_eq!(hsl(120.0, 1.0, 0.5), color!(0x00FF00));
    }
}
