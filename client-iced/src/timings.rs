//! How long things take in the window, for measurements: `--timings` says it on standard error. Nothing of what is shown is told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use endtoend_client::clock::{Instant, monotonic};
use iced::advanced::layout::{self, Layout};
use iced::advanced::widget::{Tree, Widget};
use iced::advanced::{Clipboard, Renderer, Shell, mouse, renderer};
use iced::{Element, Event, Length, Rectangle, Size, window};

use crate::app::{App, Screen};

/// A window that is late by more than this skips a picture.
pub const BUDGET: Duration = Duration::from_millis(16);
/// Updates whose length is kept: the first of a long run.
const KEPT_MAX: usize = 1_000_000;
/// Pictures that are farther apart do not belong to one movement: nothing happened between them.
const FOLLOWS_MAX: Duration = Duration::from_millis(250);

/// What was measured so far.
#[derive(Debug)]
struct Measured {
    started: Instant,
    pictures: u64,
    /// Since when there is a list to be drawn; and whether that was told.
    entered: Option<Instant>,
    listed: bool,
    frame: Option<Instant>,
    /// Between two pictures that followed each other, in microseconds.
    frames: Vec<u32>,
    /// In microseconds.
    updates: Vec<u32>,
}

/// Measures, in every place that has a part of it.
#[derive(Clone, Debug)]
pub struct Timings(Arc<Mutex<Measured>>);

impl Default for Timings {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Measured {
            started: monotonic(),
            pictures: 0,
            entered: None,
            listed: false,
            frame: None,
            frames: Vec::new(),
            updates: Vec::new(),
        })))
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

fn keep(all: &mut Vec<u32>, time: Duration) {
    if all.len() < KEPT_MAX {
        all.push(micros(time));
    }
}

/// The middle, the hundredth and the longest, and how many were over the budget.
fn summary(times: &[u32]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |part: usize| {
        let index = (sorted.len() * part / 100).min(sorted.len().saturating_sub(1));
        f64::from(sorted.get(index).copied().unwrap_or_default()) / 1_000.0
    };
    let over = sorted.iter().filter(|time| **time > micros(BUDGET)).count();
    format!("{}, p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms, {over} over 16 ms", sorted.len(), at(50), at(99), at(100))
}

fn since(from: Instant) -> u128 {
    monotonic().saturating_duration_since(from).as_millis()
}

impl Timings {
    fn measured(&self) -> MutexGuard<'_, Measured> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A picture is drawn.
    fn picture(&self) {
        let now = monotonic();
        let mut measured = self.measured();
        measured.pictures += 1;
        if measured.pictures == 1 {
            eprintln!("timings: first frame after {} ms", since(measured.started));
        }
        if let (Some(entered), false) = (measured.entered, measured.listed) {
            measured.listed = true;
            eprintln!("timings: list drawn {} ms after the profile was open", since(entered));
        }
        let before = measured.frame.replace(now).map(|before| now.saturating_duration_since(before));
        if let Some(between) = before.filter(|between| *between <= FOLLOWS_MAX) {
            keep(&mut measured.frames, between);
        }
    }

    /// The same content, of which each picture is noticed.
    pub fn notice<'a, Message: 'a>(&self, content: Element<'a, Message>) -> Element<'a, Message> {
        iced::widget::column![Element::new(Noticed(self.clone())), content].into()
    }

    /// An update begins.
    pub fn begin(&self) -> Instant {
        monotonic()
    }

    /// It has ended.
    pub fn end(&self, begun: Instant, app: &App) {
        let mut measured = self.measured();
        keep(&mut measured.updates, monotonic().saturating_duration_since(begun));
        if let (Screen::Home(_), None) = (&app.screen, measured.entered) {
            measured.entered = Some(begun);
            eprintln!("timings: profile open after {} ms", since(measured.started));
        }
    }

    /// Says what is known at the end.
    pub fn tell(&self) {
        let measured = self.measured();
        eprintln!("timings: updates: {}", summary(&measured.updates));
        eprintln!("timings: pictures: {}", measured.pictures);
        eprintln!("timings: between pictures of one movement: {}", summary(&measured.frames));
    }
}

/// Has no size and no part in anything. It hears of each picture before that is drawn, and asks for none: a message about it would be
/// followed by the next picture, without end.
struct Noticed(Timings);

impl<Message, Theme, R: Renderer> Widget<Message, Theme, R> for Noticed {
    fn size(&self) -> Size<Length> {
        Size::new(Length::Shrink, Length::Shrink)
    }

    fn layout(&mut self, _: &mut Tree, _: &R, _: &layout::Limits) -> layout::Node {
        layout::Node::new(Size::ZERO)
    }

    fn update(
        &mut self,
        _: &mut Tree,
        event: &Event,
        _: Layout<'_>,
        _: mouse::Cursor,
        _: &R,
        _: &mut dyn Clipboard,
        _: &mut Shell<'_, Message>,
        _: &Rectangle,
    ) {
        if matches!(event, Event::Window(window::Event::RedrawRequested(_))) {
            self.0.picture();
        }
    }

    fn draw(
        &self,
        _: &Tree,
        _: &mut R,
        _: &Theme,
        _: &renderer::Style,
        _: Layout<'_>,
        _: mouse::Cursor,
        _: &Rectangle,
    ) {
    }
}

#[cfg(test)]
mod tests {
    use iced_test::runtime::UserInterface;
    use iced_test::runtime::user_interface::{Cache, State};

    use super::*;

    #[test]
    fn what_is_over_the_budget_is_counted() {
        let times: Vec<u32> = (1..=100).map(|ms| ms * 1_000).collect();
        assert_eq!(summary(&times), "100, p50 51.00 ms, p99 100.00 ms, max 100.00 ms, 84 over 16 ms");
        assert_eq!(summary(&[]), "0, p50 0.00 ms, p99 0.00 ms, max 0.00 ms, 0 over 16 ms");
    }

    #[test]
    fn a_picture_that_is_noticed_causes_no_other_and_nothing_else() {
        let timings = Timings::default();
        let mut renderer = iced::Renderer::new(crate::theme::REGULAR, iced::Pixels(15.0));
        let content: Element<'_, ()> = timings.notice(iced::widget::text("hello").into());
        let mut interface = UserInterface::build(content, Size::new(100.0, 100.0), Cache::default(), &mut renderer);
        let mut messages = Vec::new();
        for pictures in 1..=3 {
            let redraw = Event::Window(window::Event::RedrawRequested(endtoend_client::clock::monotonic().into_std()));
            let (state, _) = interface.update(
                &[redraw],
                mouse::Cursor::Unavailable,
                &mut renderer,
                &mut iced::advanced::clipboard::Null,
                &mut messages,
            );
            assert!(matches!(state, State::Updated { redraw_request: window::RedrawRequest::Wait, .. }), "{state:?}");
            assert_eq!((timings.measured().pictures, messages.len()), (pictures, 0));
        }
    }
}
