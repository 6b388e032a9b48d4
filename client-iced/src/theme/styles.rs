//! The styles of widgets. Each takes its colours from the theme that is drawn with.

use iced::widget::{button, container, pick_list, radio, scrollable, slider, text, text_editor, text_input, toggler};
use iced::{Background, Border, Color, Shadow, Theme, border, overlay};

use super::{CORNER, CORNER_SMALL, Colors};
use crate::preferences::Accent;

const CLEAR: Color = Color::TRANSPARENT;

fn filled(background: Color, text_color: Color, radius: f32) -> button::Style {
    button::Style {
        background: Some(Background::Color(background)),
        text_color,
        border: border::rounded(radius),
        ..button::Style::default()
    }
}

/// A little nearer to the words that stand on it.
fn toward(color: Color, other: Color, part: f32) -> Color {
    let mix = |one: f32, other: f32| one + (other - one) * part;
    Color::from_rgb(mix(color.r, other.r), mix(color.g, other.g), mix(color.b, other.b))
}

/// The one thing that a page leads to.
pub fn primary(theme: &Theme, status: button::Status) -> button::Style {
    let c = Colors::of(theme);
    match status {
        button::Status::Active => filled(c.accent, c.on_accent, CORNER_SMALL),
        button::Status::Hovered => filled(toward(c.accent, c.text, 0.12), c.on_accent, CORNER_SMALL),
        button::Status::Pressed => filled(toward(c.accent, c.text, 0.2), c.on_accent, CORNER_SMALL),
        button::Status::Disabled => filled(c.chosen, c.muted, CORNER_SMALL),
    }
}

/// Everything else that can be pressed.
pub fn quiet(theme: &Theme, status: button::Status) -> button::Style {
    let c = Colors::of(theme);
    let style = match status {
        button::Status::Active => filled(c.raised, c.text, CORNER_SMALL),
        button::Status::Hovered | button::Status::Pressed => filled(c.chosen, c.text, CORNER_SMALL),
        button::Status::Disabled => filled(c.raised, c.muted, CORNER_SMALL),
    };
    button::Style { border: style.border.color(c.line).width(1), ..style }
}

/// A word or sign that can be pressed.
pub fn plain(theme: &Theme, status: button::Status) -> button::Style {
    let c = Colors::of(theme);
    match status {
        button::Status::Active => filled(CLEAR, c.accent, CORNER_SMALL),
        button::Status::Hovered | button::Status::Pressed => filled(c.chosen, c.accent, CORNER_SMALL),
        button::Status::Disabled => filled(CLEAR, c.muted, CORNER_SMALL),
    }
}

/// What cannot be taken back.
pub fn danger(theme: &Theme, status: button::Status) -> button::Style {
    let c = Colors::of(theme);
    match status {
        button::Status::Active => filled(c.danger, c.on_danger, CORNER_SMALL),
        button::Status::Hovered | button::Status::Pressed => {
            filled(toward(c.danger, c.text, 0.15), c.on_danger, CORNER_SMALL)
        }
        button::Status::Disabled => filled(c.chosen, c.muted, CORNER_SMALL),
    }
}

/// A line of a list.
pub fn line(chosen: bool) -> impl Fn(&Theme, button::Status) -> button::Style {
    move |theme, status| {
        let c = Colors::of(theme);
        let background = match (chosen, status) {
            (true, _) | (false, button::Status::Hovered | button::Status::Pressed) => c.chosen,
            (false, button::Status::Active | button::Status::Disabled) => CLEAR,
        };
        filled(background, c.text, CORNER_SMALL)
    }
}

/// Behind a message.
pub fn bubble(own: bool, chosen: bool) -> impl Fn(&Theme, button::Status) -> button::Style {
    move |theme, _| {
        let c = Colors::of(theme);
        let style = filled(if own { c.own } else { c.theirs }, c.text, CORNER);
        let edge = if chosen { c.accent } else { CLEAR };
        button::Style { border: style.border.color(edge).width(if chosen { 2 } else { 0 }), ..style }
    }
}

fn plane(background: Color, text: Color) -> container::Style {
    container::Style { background: Some(background.into()), text_color: Some(text), ..container::Style::default() }
}

/// Behind the list.
pub fn ground(theme: &Theme) -> container::Style {
    let c = Colors::of(theme);
    plane(c.ground, c.text)
}

/// Behind messages.
pub fn surface(theme: &Theme) -> container::Style {
    let c = Colors::of(theme);
    plane(c.surface, c.text)
}

/// What lies on the ground, with an edge. No shadow: tiny-skia draws one anew with each part of a window that changes, and what
/// was there shows through until all is black.
pub fn card(theme: &Theme) -> container::Style {
    let c = Colors::of(theme);
    container::Style { border: border::rounded(CORNER).color(c.line).width(1), ..plane(c.surface, c.text) }
}

/// What is quoted, or stands in a box of its own.
pub fn boxed(theme: &Theme) -> container::Style {
    let c = Colors::of(theme);
    container::Style { border: border::rounded(CORNER_SMALL).color(c.line).width(1), ..plane(c.raised, c.text) }
}

/// What is quoted, where one can go to it.
pub fn quoted(theme: &Theme, status: button::Status) -> button::Style {
    let c = Colors::of(theme);
    let border = match status {
        button::Status::Active | button::Status::Disabled => c.line,
        button::Status::Hovered | button::Status::Pressed => c.accent,
    };
    let rest = filled(c.raised, c.text, CORNER_SMALL);
    button::Style { border: border::rounded(CORNER_SMALL).color(border).width(1), ..rest }
}

/// Something to be careful about.
pub fn warning(theme: &Theme) -> container::Style {
    let c = Colors::of(theme);
    container::Style { border: border::rounded(CORNER_SMALL), ..plane(c.warning, c.on_warning) }
}

/// Something that failed.
pub fn failure(theme: &Theme) -> container::Style {
    let c = Colors::of(theme);
    container::Style { border: border::rounded(CORNER_SMALL).color(c.danger).width(1), ..plane(c.surface, c.danger) }
}

/// How many there are.
pub fn badge(theme: &Theme) -> container::Style {
    let c = Colors::of(theme);
    container::Style { border: border::rounded(10), ..plane(c.accent, c.on_accent) }
}

/// A reaction that hangs on a message, and what is said between messages.
pub fn chip(theme: &Theme) -> container::Style {
    let c = Colors::of(theme);
    container::Style { border: border::rounded(10).color(c.line).width(1), ..plane(c.surface, c.muted) }
}

/// A bar of this part of a meter, filled or not.
pub fn meter(filled: bool) -> impl Fn(&Theme) -> container::Style {
    move |theme| {
        let c = Colors::of(theme);
        container::Style { border: border::rounded(3), ..plane(if filled { c.accent } else { c.line }, c.text) }
    }
}

/// A dot: whether there is a connection.
pub fn dot(on: bool) -> impl Fn(&Theme) -> container::Style {
    move |theme| {
        let c = Colors::of(theme);
        container::Style { border: border::rounded(4), ..plane(if on { c.accent } else { c.danger }, c.text) }
    }
}

/// One of several.
pub fn one_of(theme: &Theme, status: radio::Status) -> radio::Style {
    let c = Colors::of(theme);
    let (chosen, edge) = match status {
        radio::Status::Active { is_selected } => (is_selected, c.edge),
        radio::Status::Hovered { is_selected } => (is_selected, c.text),
    };
    radio::Style {
        background: c.surface.into(),
        dot_color: c.accent,
        border_width: 2.0,
        border_color: if chosen { c.accent } else { edge },
        text_color: Some(c.text),
    }
}

/// From little to much.
pub fn bar(theme: &Theme, status: slider::Status) -> slider::Style {
    let c = Colors::of(theme);
    let handle = match status {
        slider::Status::Active => c.accent,
        slider::Status::Hovered | slider::Status::Dragged => toward(c.accent, c.text, 0.15),
    };
    slider::Style {
        rail: slider::Rail { backgrounds: (c.accent.into(), c.edge.into()), width: 4.0, border: border::rounded(2) },
        handle: slider::Handle {
            shape: slider::HandleShape::Circle { radius: 8.0 },
            background: handle.into(),
            border_width: 0.0,
            border_color: CLEAR,
        },
    }
}

/// A line between two things.
pub fn rule(theme: &Theme) -> container::Style {
    let c = Colors::of(theme);
    plane(c.line, c.text)
}

/// Words that stand back.
pub fn muted(theme: &Theme) -> text::Style {
    text::Style { color: Some(Colors::of(theme).muted) }
}

/// Words of what failed.
pub fn bad(theme: &Theme) -> text::Style {
    text::Style { color: Some(Colors::of(theme).danger) }
}

/// Words of what is led to.
pub fn accent(theme: &Theme) -> text::Style {
    text::Style { color: Some(Colors::of(theme).accent) }
}

fn field_border(c: Colors, focused: bool, hovered: bool) -> Border {
    let color = match (focused, hovered) {
        (true, _) => c.accent,
        (false, true) => c.text,
        (false, false) => c.edge,
    };
    border::rounded(CORNER_SMALL).color(color).width(if focused { 2 } else { 1 })
}

/// A field of one line.
pub fn field(theme: &Theme, status: text_input::Status) -> text_input::Style {
    let c = Colors::of(theme);
    let (focused, hovered) = match status {
        text_input::Status::Active | text_input::Status::Disabled => (false, false),
        text_input::Status::Hovered => (false, true),
        text_input::Status::Focused { is_hovered } => (true, is_hovered),
    };
    text_input::Style {
        background: c.surface.into(),
        border: field_border(c, focused, hovered),
        icon: c.muted,
        placeholder: c.muted,
        value: c.text,
        selection: Color { a: 0.3, ..c.accent },
    }
}

/// Where a message is written.
pub fn editor(theme: &Theme, status: text_editor::Status) -> text_editor::Style {
    let c = Colors::of(theme);
    let (focused, hovered) = match status {
        text_editor::Status::Active | text_editor::Status::Disabled => (false, false),
        text_editor::Status::Hovered => (false, true),
        text_editor::Status::Focused { is_hovered } => (true, is_hovered),
    };
    text_editor::Style {
        background: c.surface.into(),
        border: field_border(c, focused, hovered),
        placeholder: c.muted,
        value: c.text,
        selection: Color { a: 0.3, ..c.accent },
    }
}

/// A thin bar at the side.
pub fn scroll(theme: &Theme, status: scrollable::Status) -> scrollable::Style {
    let c = Colors::of(theme);
    let held = !matches!(status, scrollable::Status::Active { .. });
    let rail = scrollable::Rail {
        background: None,
        border: border::rounded(4),
        scroller: scrollable::Scroller {
            background: if held { c.edge } else { c.line }.into(),
            border: border::rounded(4),
        },
    };
    scrollable::Style {
        container: container::Style::default(),
        vertical_rail: rail,
        horizontal_rail: rail,
        gap: None,
        auto_scroll: scrollable::AutoScroll {
            background: c.raised.into(),
            border: border::rounded(u32::MAX),
            shadow: Shadow::default(),
            icon: c.muted,
        },
    }
}

/// One of several.
pub fn choice(theme: &Theme, status: pick_list::Status) -> pick_list::Style {
    let c = Colors::of(theme);
    let (open, hovered) = match status {
        pick_list::Status::Active => (false, false),
        pick_list::Status::Hovered => (false, true),
        pick_list::Status::Opened { is_hovered } => (true, is_hovered),
    };
    pick_list::Style {
        text_color: c.text,
        placeholder_color: c.muted,
        handle_color: c.muted,
        background: c.surface.into(),
        border: field_border(c, open, hovered),
    }
}

/// What there is to choose from.
pub fn menu(theme: &Theme) -> overlay::menu::Style {
    let c = Colors::of(theme);
    overlay::menu::Style {
        background: c.surface.into(),
        border: border::rounded(CORNER_SMALL).color(c.edge).width(1),
        text_color: c.text,
        selected_text_color: c.on_accent,
        selected_background: c.accent.into(),
        shadow: Shadow::default(),
    }
}

/// On or off.
pub fn switch(theme: &Theme, status: toggler::Status) -> toggler::Style {
    let c = Colors::of(theme);
    let on = match status {
        toggler::Status::Active { is_toggled }
        | toggler::Status::Hovered { is_toggled }
        | toggler::Status::Disabled { is_toggled } => is_toggled,
    };
    toggler::Style {
        background: if on { c.accent } else { c.raised }.into(),
        background_border_width: 1.0,
        background_border_color: if on { c.accent } else { c.edge },
        foreground: if on { c.on_accent } else { c.edge }.into(),
        foreground_border_width: 0.0,
        foreground_border_color: CLEAR,
        text_color: Some(c.text),
        border_radius: None,
        padding_ratio: 0.15,
    }
}

/// A sample of an accent.
pub fn sample(accent: Accent) -> impl Fn(&Theme) -> container::Style {
    move |theme| {
        let color = Colors::of(theme).with(accent).accent;
        container::background(color).border(border::rounded(CORNER_SMALL))
    }
}
