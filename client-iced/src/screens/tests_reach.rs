//! Keys get at everything that can be pressed, on every page, and say what a press says there.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use iced::advanced::widget::operation::Focusable;
use iced::advanced::widget::{Id, Operation};
use iced::keyboard::key::Named;
use iced::keyboard::{Key, Modifiers};
use iced::{Point, Rectangle, Size};

use super::snapshots::{self, CARD, WINDOW};
use crate::action::Action;
use crate::app::{App, Hand, Message};
use crate::focus::walk;
use crate::preferences::Appearance;
use crate::testing_glass::{Glass, pressed};
use crate::theme::{Colors, REGULAR, fonts, size};

/// Between two places that are tried, in logical pixels: less than anything that can be pressed is wide or high.
const STEP: f32 = 9.0;
/// More than there are stops on any page.
const STOPS_MAX: usize = 80;

/// Somebody at a window, without a mouse.
pub(super) struct Fingers {
    pub(super) app: App,
    glass: Glass,
}

/// Where the keyboard is: as it lies, and as it is seen.
struct Here(Arc<Mutex<Option<Rectangle>>>, iced::Vector, iced::Vector);

impl Operation for Here {
    fn traverse(&mut self, operate: &mut dyn FnMut(&mut dyn Operation)) {
        let before = self.1;
        self.1 = before + std::mem::take(&mut self.2);
        operate(self);
        self.1 = before;
    }

    fn scrollable(
        &mut self,
        _: Option<&Id>,
        _: Rectangle,
        _: Rectangle,
        translation: iced::Vector,
        _: &mut dyn iced::advanced::widget::operation::Scrollable,
    ) {
        self.2 = translation;
    }

    fn focusable(&mut self, _: Option<&Id>, bounds: Rectangle, state: &mut dyn Focusable) {
        if state.is_focused() {
            let before = self.0.lock().unwrap().replace(bounds - self.1);
            assert_eq!(before, None, "two have the keyboard");
        }
    }

    fn custom(&mut self, _: Option<&Id>, _: Rectangle, _: &mut dyn Any) {}
}

impl Fingers {
    pub(super) fn new(app: App, size: (f32, f32)) -> Self {
        fonts::install_for_pictures();
        let mut fingers = Self { app, glass: Glass::new(Size::from(size), REGULAR, size::BODY) };
        fingers.happens(Message::Active(Hand::Keys));
        fingers
    }

    pub(super) fn happens(&mut self, message: Message) {
        for action in self.app.update(message) {
            match action.way() {
                Some(way) => self.glass.operate(self.app.view(), walk::walk(way)),
                None => self.acts(action),
            }
        }
    }

    fn acts(&mut self, action: Action) {
        use iced::advanced::widget::operation::scrollable::{AbsoluteOffset, scroll_to};
        match action {
            Action::Scroll(list, y) => {
                let to = AbsoluteOffset { x: None, y: Some(y) };
                self.glass.operate(self.app.view(), scroll_to(Id::new(list), to));
            }
            Action::TurnPage(down) => self.glass.operate(self.app.view(), walk::turn(down)),
            _ => {}
        }
    }

    /// What a key says, without its being so.
    fn would_say(&mut self, key: Named) -> Vec<String> {
        let event = pressed(Key::Named(key), Modifiers::empty());
        let (said, _) = self.glass.happen(self.app.view(), &[event]);
        said.iter().map(|said| format!("{said:?}")).collect()
    }

    /// A key is pressed; what came of it, and whether something took it.
    pub(super) fn press(&mut self, key: Named, modifiers: Modifiers) -> (Vec<String>, bool) {
        let event = pressed(Key::Named(key), modifiers);
        let (said, taken) = self.glass.happen(self.app.view(), &[event]);
        let words = said.iter().map(|said| format!("{said:?}")).collect();
        said.into_iter().for_each(|said| self.happens(said));
        if !taken {
            self.happens(Message::Key(Key::Named(key), modifiers));
        }
        (words, taken)
    }

    pub(super) fn tab(&mut self) {
        self.press(Named::Tab, Modifiers::empty());
    }

    /// Where the keyboard is, as it is seen.
    pub(super) fn here(&mut self) -> Option<Rectangle> {
        let found = Arc::new(Mutex::new(None));
        let zero = iced::Vector::ZERO;
        self.glass.operate(self.app.view(), Here(Arc::clone(&found), zero, zero));
        let found = *found.lock().unwrap();
        found
    }

    pub(super) fn picture(&mut self) -> Vec<u8> {
        self.glass.picture(self.app.view(), &self.app.theme())
    }

    /// Everything that a mouse could press: where, and what that would say.
    fn touched(&mut self, size: (f32, f32)) -> BTreeMap<String, Point> {
        let (across, down) = ((size.0 / STEP) as u16, (size.1 / STEP) as u16);
        let places: Vec<Point> = (0..down)
            .flat_map(|y| (0..across).map(move |x| (x, y)))
            .map(|(x, y)| Point::new((f32::from(x) + 0.5) * STEP, (f32::from(y) + 0.5) * STEP))
            .collect();
        let found = self.glass.touch(self.app.view(), &places);
        found.into_iter().map(|(place, said)| (format!("{said:?}"), place)).collect()
    }

    /// Goes once around with Tab: what each stop says to the keys that press and choose, and whether it is seen.
    fn around(&mut self, size: (f32, f32), said: &mut BTreeSet<String>) {
        let mut known: Vec<Rectangle> = Vec::new();
        for _ in 0..STOPS_MAX {
            self.tab();
            let Some(here) = self.here() else { return };
            let window = Rectangle::with_size(Size::from(size)).expand(1.0);
            assert!(here.intersects(&window), "what has the keyboard is out of sight: {here:?}");
            self.ring_is_seen(here, size);
            for key in [Named::Enter, Named::Space] {
                said.extend(self.would_say(key).into_iter().map(|said| format!("[{said}]")));
            }
            if known.first() == Some(&here) && known.len() > 1 {
                return;
            }
            known.push(here);
        }
    }

    /// Something of the accent's colour is around what has the keyboard, or within its edge.
    fn ring_is_seen(&mut self, here: Rectangle, (width, height): (f32, f32)) {
        let accent = Colors::of(&self.app.theme()).accent.into_rgba8();
        let picture = self.picture();
        let window = Rectangle::with_size(Size::new(width, height));
        let Some(seen) = here.expand(4.0).intersection(&window) else { panic!("{here:?} is not seen") };
        let rows = (seen.y as usize)..((seen.y + seen.height) as usize);
        let columns = (seen.x as usize)..((seen.x + seen.width) as usize);
        let of = |x: usize, y: usize| picture.get((y * width as usize + x) * 4..).and_then(|rest| rest.first_chunk());
        // A line of it upright, as long as a line of words is high.
        let line = |x: usize| rows.clone().filter(|y| of(x, *y) == Some(&accent)).count();
        assert!(columns.clone().any(|x| line(x) > 12), "no ring around {here:?}");
    }
}

/// A page: what it is called, how large its window is, and how one gets there.
struct Page {
    name: &'static str,
    size: (f32, f32),
    app: fn() -> App,
}

/// What keys say on this page, in every place that they get to.
fn said_by_keys(page: &Page) -> BTreeSet<String> {
    let begin = || Fingers::new((page.app)(), page.size);
    let mut said = BTreeSet::new();
    begin().around(page.size, &mut said);
    // In each stop, what arrows lead to.
    let mut stops = 0;
    let mut fingers = begin();
    let mut first = None;
    while stops < STOPS_MAX {
        fingers.tab();
        let here = fingers.here();
        if here.is_none() || (stops > 0 && here == first) {
            break;
        }
        first = first.or(here);
        stops += 1;
    }
    for stop in 1..=stops {
        for arrow in [Named::ArrowDown, Named::ArrowRight, Named::ArrowUp, Named::ArrowLeft] {
            let mut fingers = begin();
            (0..stop).for_each(|_| fingers.tab());
            for _ in 0..12 {
                let (words, taken) = fingers.press(arrow, Modifiers::empty());
                said.extend(words.iter().map(|words| format!("[{words}]")));
                let pressed = fingers.would_say(Named::Enter);
                said.extend(pressed.iter().map(|words| format!("[{words}]")));
                if words.is_empty() && !taken && pressed.is_empty() {
                    break;
                }
            }
        }
    }
    said
}
