//! Switches, sliders, one of several: iced's own, with keys.

use std::ops::RangeInclusive;

use iced::keyboard::key::Named;
use iced::{Element, widget};

use super::{Stop, stop};
use crate::theme::{size, styles};

/// A slider goes so many times from one end to the other with an arrow key, and with a page key.
const STEPS: [u16; 2] = [50, 10];

/// On or off: what a press says turns it over.
pub fn switch<'a, Message: Clone + 'a>(on: bool, chosen: impl Fn(bool) -> Message) -> Element<'a, Message> {
    let message = chosen(!on);
    let press = message.clone();
    #[expect(clippy::disallowed_methods, reason = "keys are given to it here")]
    let inner = widget::toggler(on).size(22).on_toggle(move |_| message.clone()).style(styles::switch);
    stop(inner).press(Some(press)).into()
}

/// One of several that [`one_of`] stands around.
pub fn radio<'a, Message: Clone + 'a>(words: String, chosen: bool, message: Message) -> Element<'a, Message> {
    #[expect(clippy::disallowed_methods, reason = "keys are given to it by what stands around it")]
    let inner = widget::radio(words, true, Some(chosen), move |_| message);
    inner.size(18).text_size(size::BODY).spacing(10).style(styles::one_of).into()
}

/// Several of which one is chosen: arrow keys say what chooses the one before, or the next.
pub fn one_of<'a, Message: Clone + 'a>(
    content: impl Into<Element<'a, Message>>,
    before: Option<Message>,
    next: Option<Message>,
) -> Stop<'a, Message> {
    stop(content).keys(move |key, modifiers| match key {
        _ if !modifiers.is_empty() => None,
        Named::ArrowUp | Named::ArrowLeft => before.clone(),
        Named::ArrowDown | Named::ArrowRight => next.clone(),
        _ => None,
    })
}

/// Where an arrow, a page key or an end takes a slider.
fn slid(key: Named, range: &RangeInclusive<u16>, now: u16) -> Option<u16> {
    let (start, end) = (*range.start(), *range.end());
    let [step, page] = STEPS.map(|steps| (end.saturating_sub(start) / steps).max(1));
    let to = match key {
        Named::ArrowLeft | Named::ArrowDown => now.saturating_sub(step),
        Named::ArrowRight | Named::ArrowUp => now.saturating_add(step),
        Named::PageDown => now.saturating_sub(page),
        Named::PageUp => now.saturating_add(page),
        Named::Home => start,
        Named::End => end,
        _ => return None,
    };
    Some(to.clamp(start, end.max(start)))
}

/// From little to much.
pub fn slider<'a, Message: Clone + 'a>(
    range: RangeInclusive<u16>,
    now: u16,
    chosen: impl Fn(u16) -> Message + Clone + 'a,
) -> Element<'a, Message> {
    #[expect(clippy::disallowed_methods, reason = "keys are given to it here")]
    let inner = widget::slider(range.clone(), now, chosen.clone()).style(styles::bar);
    stop(inner).keys(move |key, modifiers| slid(key, &range, now).filter(|_| modifiers.is_empty()).map(&chosen)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_take_a_slider_from_one_end_to_the_other_and_no_further() {
        let slid = |named, now| slid(named, &(200..=1_000), now);
        assert_eq!(slid(Named::ArrowRight, 200), Some(216));
        assert_eq!(slid(Named::PageDown, 600), Some(520));
        assert_eq!([slid(Named::ArrowLeft, 205), slid(Named::PageUp, 990)], [Some(200), Some(1_000)]);
        assert_eq!([slid(Named::Home, 600), slid(Named::End, 600)], [Some(200), Some(1_000)]);
        assert_eq!(slid(Named::Tab, 600), None);
        assert_eq!(super::slid(Named::ArrowUp, &(0..=3), 0), Some(1), "never less than one");
    }
}
