//! How things look.

use iced::widget::{Row, column, container, row, space};
use iced::{Center, Element, Fill};

use super::parts::{Named, card, choice};
use crate::focus::{self, button};
use crate::preferences::{Accent, Appearance, Density, Preferences, Scale};
use crate::screens::home::Message;
use crate::strings::{Language, Strings};
use crate::theme::styles;
use crate::ui::{self, id};

/// Of a sample of a colour, in logical pixels.
const SAMPLE: f32 = 26.0;

pub(super) fn view<'a>(t: &'a Strings, now: Preferences, narrow: bool) -> Element<'a, Message> {
    let look = |appearance| {
        let key = match appearance {
            Appearance::System => "look-system",
            Appearance::Light => "look-light",
            Appearance::Dark => "look-dark",
        };
        Named::new(appearance, t.get(key))
    };
    let looks = [Appearance::System, Appearance::Light, Appearance::Dark].map(look).to_vec();
    let theme = choice(narrow, t.get("look"), looks, look(now.appearance), move |look| {
        Message::Prefer(Preferences { appearance: look.value, ..now })
    });
    let dense = |density| {
        let key = match density {
            Density::Roomy => "density-roomy",
            Density::Dense => "density-dense",
        };
        Named::new(density, t.get(key))
    };
    let density =
        choice(narrow, t.get("density"), Density::ALL.map(dense).to_vec(), dense(now.density), move |named| {
            Message::Prefer(Preferences { density: named.value, ..now })
        });
    let scale = choice(narrow, t.get("scale"), Scale::ALL.to_vec(), now.scale, move |scale| {
        Message::Prefer(Preferences { scale, ..now })
    });
    let language = choice(narrow, t.get("language"), Language::ALL.to_vec(), now.language, move |language| {
        Message::Prefer(Preferences { language, ..now })
    });
    card(t.get("appearance"), column![theme, accents(t, now), density, scale, language])
}

/// A sample of each accent. Which one it is is told by its ground, and by its name beside them.
fn accents<'a>(t: &Strings, now: Preferences) -> Element<'a, Message> {
    let prefer = |accent| Message::Prefer(Preferences { accent, ..now });
    let sample = |accent: Accent| {
        let color = container(space()).width(SAMPLE).height(SAMPLE).style(styles::sample(accent));
        let chosen = accent == now.accent;
        let sample = button(color).padding(4).style(styles::line(chosen)).on_press(prefer(accent)).by_tab(false);
        if chosen { container(sample).id(id::ACCENT).into() } else { container(sample).into() }
    };
    let key = match now.accent {
        Accent::Green => "accent-green",
        Accent::Blue => "accent-blue",
        Accent::Violet => "accent-violet",
        Accent::Rust => "accent-rust",
        Accent::Grey => "accent-grey",
    };
    let label = column![ui::body(t.get("accent")), ui::note(t.get(key))].spacing(2).width(Fill);
    let at = Accent::ALL.iter().position(|accent| *accent == now.accent).unwrap_or_default();
    let beside = |at: Option<usize>| at.and_then(|at| Accent::ALL.get(at)).map(|accent| prefer(*accent));
    let samples = Row::with_children(Accent::ALL.map(sample)).spacing(4);
    let samples = focus::one_of(samples, beside(at.checked_sub(1)), beside(Some(at + 1))).ringed(id::ACCENT);
    row![label, samples].align_y(Center).spacing(12).into()
}
