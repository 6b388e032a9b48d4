//! Words in one line, which end with … where there is no room for all of them. iced cuts through letters there, and of words that are
//! read from right to left it shows the end.

use iced::advanced::layout::{self, Layout};
use iced::advanced::text::{self, Paragraph as _, Span};
use iced::advanced::widget::{self, Tree, Widget, tree};
use iced::advanced::{mouse, renderer};
use iced::widget::text as styled;
use iced::{Element, Font, Length, Point, Rectangle, Size, Theme};
use unicode_segmentation::UnicodeSegmentation as _;

use crate::emoji;
use crate::theme::{ANY_EMOJI, REGULAR};

/// More letters than this, in bytes, stand in no line.
const BYTES_MAX: usize = 2_048;
/// Places that are tried one by one.
const TRIES: usize = 3;

/// How words are to be written.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Format {
    /// In logical pixels, of the letters and of the room for them.
    letters: u32,
    room: f32,
    font: Font,
}

/// Words in one line.
#[derive(Debug)]
pub struct OneLine {
    words: String,
    letters: u32,
    font: Font,
    style: fn(&Theme) -> styled::Style,
    width: Length,
    /// Room for what follows, in logical pixels.
    left: f32,
}

/// These words, in letters of that size, as narrow as they are.
pub fn one_line(words: impl Into<String>, letters: u32) -> OneLine {
    let mut words = words.into();
    words.truncate(words.floor_char_boundary(BYTES_MAX));
    OneLine { words, letters, font: REGULAR, style: styled::default, width: Length::Shrink, left: 0.0 }
}

impl OneLine {
    /// In this typeface.
    pub fn font(self, font: Font) -> Self {
        Self { font, ..self }
    }

    /// In this colour.
    pub fn style(self, style: fn(&Theme) -> styled::Style) -> Self {
        Self { style, ..self }
    }

    /// Leaves so many logical pixels for what stands behind it in a row.
    pub fn leaving(self, left: f32) -> Self {
        Self { left, ..self }
    }

    /// Has all the room that there is.
    pub fn fill(self) -> Self {
        Self { width: Length::Fill, ..self }
    }
}

/// What was laid out, and of what.
struct State<P> {
    of: Option<(String, Format)>,
    paragraph: P,
}

fn paragraph<P: text::Paragraph<Font = Font>>(words: &str, format: Format) -> P {
    let spans: Vec<Span<'_, (), Font>> = emoji::parts(words)
        .map(|(part, alone)| if alone { Span::new(part).font(ANY_EMOJI) } else { Span::new(part) })
        .collect();
    P::with_spans(text::Text {
        content: spans.as_slice(),
        bounds: Size::INFINITE,
        size: format.letters.into(),
        line_height: text::LineHeight::default(),
        font: format.font,
        align_x: text::Alignment::Default,
        align_y: iced::alignment::Vertical::Top,
        shaping: text::Shaping::Auto,
        wrapping: text::Wrapping::None,
    })
}

/// Whether words are read from right to left: as the first letter is that has a direction, by the blocks of those scripts.
fn from_the_right(words: &str) -> bool {
    let first = words.chars().find(|letter| letter.is_alphabetic());
    first.is_some_and(
        |letter| matches!(letter, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'),
    )
}

/// Where words are to be cut, by where the letters stand: exact where all of them have one direction.
fn near<P: text::Paragraph<Font = Font>>(words: &str, whole: &P, format: Format) -> usize {
    let room = format.room - paragraph::<P>("…", format).min_bounds().width;
    let x = if from_the_right(words) { whole.min_bounds().width - room } else { room };
    whole.hit_test(Point::new(x, 1.0)).map_or(0, text::Hit::cursor)
}

/// The words, or as many of their letters as there is room for. Which side they are cut on is for their direction to say.
fn fitted<P: text::Paragraph<Font = Font>>(words: &str, format: Format) -> P {
    let fits = |paragraph: &P| paragraph.min_bounds().width <= format.room;
    let whole = paragraph(words, format);
    if fits(&whole) {
        return whole;
    }
    let begun = |end: &usize| format!("{}…", words.get(..*end).unwrap_or_default().trim_end());
    let ends: Vec<usize> = words.grapheme_indices(true).map(|(at, _)| at).collect();
    // To lay a line out costs most of what a window does, so the places near there are tried before all of them are.
    let place = near(words, &whole, format);
    let count = ends.partition_point(|end| *end <= place);
    for end in ends.iter().take(count).rev().take(TRIES) {
        let cut = paragraph(&begun(end), format);
        if fits(&cut) {
            return cut;
        }
    }
    let count = ends.partition_point(|end| fits(&paragraph(&begun(end), format)));
    let end = ends.get(count.saturating_sub(1)).copied().unwrap_or_default();
    paragraph(&begun(&end), format)
}

impl<Message, Renderer: text::Renderer<Font = Font>> Widget<Message, Theme, Renderer> for OneLine {
    fn tag(&self) -> tree::Tag {
        tree::Tag::of::<State<Renderer::Paragraph>>()
    }

    fn state(&self) -> tree::State {
        tree::State::new(State { of: None, paragraph: Renderer::Paragraph::default() })
    }

    fn size(&self) -> Size<Length> {
        Size::new(self.width, Length::Shrink)
    }

    fn layout(&mut self, tree: &mut Tree, _: &Renderer, limits: &layout::Limits) -> layout::Node {
        let state = tree.state.downcast_mut::<State<Renderer::Paragraph>>();
        let room = (limits.width(self.width).max().width - self.left).max(0.0);
        let format = Format { letters: self.letters, room, font: self.font };
        if state.of.as_ref().is_none_or(|(words, known)| *words != self.words || *known != format) {
            state.paragraph = fitted(&self.words, format);
            state.of = Some((self.words.clone(), format));
        }
        layout::sized(limits, self.width, Length::Shrink, |_| state.paragraph.min_bounds())
    }

    fn draw(
        &self,
        tree: &Tree,
        renderer: &mut Renderer,
        theme: &Theme,
        style: &renderer::Style,
        layout: Layout<'_>,
        _: mouse::Cursor,
        viewport: &Rectangle,
    ) {
        let paragraph = &tree.state.downcast_ref::<State<Renderer::Paragraph>>().paragraph;
        widget::text::draw(renderer, style, layout.bounds(), paragraph, (self.style)(theme), viewport);
    }

    fn operate(&mut self, _: &mut Tree, layout: Layout<'_>, _: &Renderer, operation: &mut dyn widget::Operation) {
        operation.text(None, layout.bounds(), &self.words);
    }
}

impl<'a, Message: 'a> From<OneLine> for Element<'a, Message> {
    fn from(line: OneLine) -> Self {
        Element::new(line)
    }
}

#[cfg(test)]
mod tests {
    use iced::advanced::graphics::text::Paragraph;

    use super::*;
    use crate::theme::fonts;

    fn width(words: &str, room: f32) -> f32 {
        fonts::install_for_pictures();
        let format = Format { letters: 15, room, font: REGULAR };
        fitted::<Paragraph>(words, format).min_bounds().width
    }

    #[test]
    fn a_line_is_as_wide_as_its_words_and_never_wider_than_its_room() {
        for words in ["hello bob, how is it going?", "مرحبا، كيف الحال؟", "👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧 ❤️❤️❤️", "码头的图纸我看过了"]
        {
            let whole = width(words, f32::INFINITY);
            assert!((width(words, whole) - whole).abs() < 0.01, "{words}");
            for part in [0.3, 0.5, 0.9] {
                let cut = width(words, whole * part);
                assert!(cut <= whole * part && cut > 0.0, "{words}: {cut} of {whole}");
            }
        }
        assert!(
            from_the_right("1. שלום a")
                && from_the_right("مرحبا")
                && !from_the_right("a שלום")
                && !from_the_right("14:30")
        );
        // Nothing but the sign that there is more.
        assert!(width("hello", 1.0) > 1.0);
        assert_eq!(one_line("ü".repeat(BYTES_MAX), 15).words.len(), BYTES_MAX);
    }
}
