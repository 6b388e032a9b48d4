//! Keys get at everything that can be pressed, on every page, and say what a press says there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use iced::advanced::widget::operation::{Focusable, Scrollable};
use iced::advanced::widget::{Id, Operation};
use iced::keyboard::key::Named;
use iced::keyboard::{Key, Modifiers};
use iced::{Event, Point, Rectangle, Size, Vector};

use endtoend_client::database::{Direction, Settings, StoredMessage};
use endtoend_client::files::Source;

use super::home::settings::{self, Grave, Section};
use super::home::{self, ChatMessage, picker};
use super::network::{self, Kind};
use super::snapshots::{self, CARD, WINDOW};
use super::snapshots::{at_home, first, news};
use super::snapshots_over::{self, in_chat, of};
use super::{first_run, unlock};
use crate::action::Action;
use crate::app::{App, Hand, Message, Screen};
use crate::failure::Failure;
use crate::focus::walk;
use crate::order::{News, Step};
use crate::preferences::Appearance;
use crate::said::{Piece, pieces};
use crate::testing::{handle, server};
use crate::testing_glass::{Glass, pressed};
use crate::theme::{Colors, REGULAR, fonts};
use crate::ui::id;

/// Between two places that are tried, in logical pixels: less than anything that can be pressed is wide or high.
const STEP: f32 = 9.0;
/// More than there are stops on any page.
const STOPS_MAX: usize = 80;

/// Somebody at a window, without a mouse.
pub(super) struct Fingers {
    pub(super) app: App,
    glass: Glass,
    first: Option<usize>,
}

/// Which of all stops has the keyboard, and where it is seen.
type Found = Arc<Mutex<Option<(usize, Rectangle)>>>;

/// Finds that, or with a name the container that has it.
#[derive(Default)]
struct Here {
    found: Found,
    name: Option<Id>,
    count: usize,
    moved: Vector,
    entering: Vector,
}

impl Operation for Here {
    fn traverse(&mut self, operate: &mut dyn FnMut(&mut dyn Operation)) {
        let before = self.moved;
        self.moved = before + std::mem::take(&mut self.entering);
        operate(self);
        self.moved = before;
    }

    fn scrollable(&mut self, _: Option<&Id>, _: Rectangle, _: Rectangle, moved: Vector, _: &mut dyn Scrollable) {
        self.entering = moved;
    }

    fn container(&mut self, name: Option<&Id>, bounds: Rectangle) {
        if self.name.is_some() && self.name.as_ref() == name {
            self.found.lock().unwrap().replace((self.count, bounds - self.moved));
        }
    }

    fn focusable(&mut self, _: Option<&Id>, bounds: Rectangle, state: &mut dyn Focusable) {
        if state.is_focused() && self.name.is_none() {
            let before = self.found.lock().unwrap().replace((self.count, bounds - self.moved));
            assert_eq!(before, None, "two have the keyboard");
        }
        self.count += 1;
    }
}

impl Fingers {
    pub(super) fn new(app: App, size: (f32, f32)) -> Self {
        fonts::install_for_pictures();
        let mut fingers =
            Self { app, glass: Glass::new(Size::from(size), REGULAR, crate::theme::size::BODY), first: None };
        fingers.happens(Message::Active(Hand::Keys));
        fingers
    }

    pub(super) fn happens(&mut self, message: Message) {
        for action in self.app.update(message) {
            match action.way() {
                Some(way) => self.glass.operate(self.app.view(), walk::walk(way)),
                None => self.acts(&action),
            }
        }
    }

    fn acts(&mut self, action: &Action) {
        use iced::advanced::widget::operation::scrollable::{AbsoluteOffset, scroll_to};
        match action {
            Action::Scroll(list, y) => {
                let to = AbsoluteOffset { x: None, y: Some(*y) };
                self.glass.operate(self.app.view(), scroll_to(Id::new(list), to));
            }
            Action::TurnPage(down) => self.glass.operate(self.app.view(), walk::turn(*down)),
            _ => {}
        }
    }

    /// What a key says, without its being so; and whether something takes it.
    pub(super) fn would_say(&mut self, key: Named) -> (String, bool) {
        let event = pressed(Key::Named(key), Modifiers::empty());
        let (said, taken) = self.glass.happen(self.app.view(), &[event]);
        (format!("{said:?}"), taken)
    }

    /// A key is pressed; what came of it, and whether something took it.
    pub(super) fn press(&mut self, key: Named, modifiers: Modifiers) -> (String, bool) {
        let event = pressed(Key::Named(key), modifiers);
        let (said, taken) = self.glass.happen(self.app.view(), &[event]);
        let words = format!("{said:?}");
        said.into_iter().for_each(|said| self.happens(said));
        if !taken {
            self.happens(Message::Key(Key::Named(key), modifiers));
        }
        (words, taken)
    }

    pub(super) fn tab(&mut self) {
        self.press(Named::Tab, Modifiers::empty());
    }

    /// Which stop has the keyboard, and where that is seen.
    pub(super) fn here(&mut self) -> Option<(usize, Rectangle)> {
        self.find(None)
    }

    /// Where the container of this name is seen, if there is one.
    pub(super) fn seen(&mut self, name: &'static str) -> Option<Rectangle> {
        self.find(Some(Id::new(name))).map(|(_, seen)| seen)
    }

    fn find(&mut self, name: Option<Id>) -> Option<(usize, Rectangle)> {
        let found = Found::default();
        self.glass.operate(self.app.view(), Here { found: Arc::clone(&found), name, ..Here::default() });
        *found.lock().unwrap()
    }

    /// Something happens to the window, by an event of the system; what came of it, without its being so.
    pub(super) fn happen(&mut self, event: Event) -> (String, bool) {
        let (said, taken) = self.glass.happen(self.app.view(), &[event]);
        (format!("{said:?}"), taken)
    }

    /// The window is drawn: lists say how far they are scrolled.
    pub(super) fn looks(&mut self) {
        let now = endtoend_client::clock::monotonic().into_std();
        let event = Event::Window(iced::window::Event::RedrawRequested(now));
        let (said, _) = self.glass.happen(self.app.view(), &[event]);
        said.into_iter().for_each(|said| self.happens(said));
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

    /// Goes once around with Tab, and calls this at each stop. Everything that has the keyboard is before the eyes.
    pub(super) fn around(&mut self, size: (f32, f32), mut at: impl FnMut(&mut Self, Rectangle)) {
        for stop in 0..STOPS_MAX {
            self.tab();
            let Some((number, here)) = self.here() else { return };
            if stop > 0 && Some(number) == self.first {
                return;
            }
            if stop == 0 {
                self.first = Some(number);
            }
            let window = Rectangle::with_size(Size::from(size)).expand(1.0);
            assert!(here.intersects(&window), "what has the keyboard is out of sight: {here:?}");
            at(self, here);
        }
        panic!("keys go round without an end");
    }

    /// Something of the accent's colour is around what has the keyboard, or within its edge.
    pub(super) fn shows_a_ring(&mut self, here: Rectangle, (width, height): (f32, f32)) {
        let accent = Colors::of(&self.app.theme()).accent.into_rgba8();
        let picture = self.picture();
        let window = Rectangle::with_size(Size::new(width, height));
        let Some(seen) = here.expand(4.0).intersection(&window) else { panic!("{here:?} is not seen") };
        let rows = (seen.y as usize)..((seen.y + seen.height) as usize);
        let mut columns = (seen.x as usize)..((seen.x + seen.width) as usize);
        let of = |x: usize, y: usize| picture.get((y * width as usize + x) * 4..).and_then(|rest| rest.first_chunk());
        // A line of it upright, as long as a line of words is high.
        let line = |x: usize| rows.clone().filter(|y| of(x, *y) == Some(&accent)).count();
        assert!(columns.any(|x| line(x) > 12), "no ring around {here:?}");
    }
}

/// A page: how large its window is, how one gets there, and which keys lead through it beside Tab.
struct Page {
    size: (f32, f32),
    profile: bool,
    told: fn() -> Vec<Message>,
    /// Messages of an open conversation.
    said: fn() -> Vec<StoredMessage>,
    /// Where keys are at first.
    field: Option<&'static str>,
    /// Keys that lead on from there, which the field does not take.
    keys: &'static [Named],
    /// Only what says something with this in it: the keys of the rest are another page's.
    only: &'static str,
}

impl Page {
    const fn new(size: (f32, f32), profile: bool, told: fn() -> Vec<Message>) -> Self {
        Self { size, profile, told, said: Vec::new, field: None, keys: &[], only: "" }
    }

    /// Of the way to an account.
    const fn first(told: fn() -> Vec<Message>) -> Self {
        Self::new(CARD, false, told)
    }

    /// Of the main window, where nothing is open yet.
    const fn home(told: fn() -> Vec<Message>) -> Self {
        Self::new(WINDOW, true, told)
    }

    /// With bob's conversation open.
    const fn talking(said: fn() -> Vec<StoredMessage>, told: fn() -> Vec<Message>) -> Self {
        Self { said, ..Self::new(WINDOW, true, told) }
    }

    fn begin(&self) -> Fingers {
        let mut app = snapshots::app(Appearance::Light, self.profile);
        let said = (self.said)();
        match (self.profile, said.is_empty()) {
            (true, false) => app = snapshots::talking(app, snapshots::people(), self.size, &said),
            _ => snapshots::tell(&mut app, [Message::Resized(self.size.0, self.size.1)]),
        }
        let mut fingers = Fingers::new(app, self.size);
        (self.told)().into_iter().for_each(|message| fingers.happens(message));
        if let Some(field) = self.field {
            fingers.glass.operate(fingers.app.view(), walk::walk(walk::Way::To(field)));
        }
        fingers
    }

    /// Everything that keys say here, and where they get to.
    fn by_keys(&self) -> (BTreeSet<String>, Vec<Rectangle>) {
        let (mut said, mut stops, mut led) = (BTreeSet::new(), Vec::new(), Vec::new());
        if self.field.is_none() {
            self.begin().around(self.size, |fingers, here| {
                fingers.shows_a_ring(here, self.size);
                stops.push(here);
                said.extend([Named::Enter, Named::Space].map(|key| fingers.would_say(key).0));
                let leads = |fingers: &mut Fingers, key| fingers.would_say(key).1;
                for pair in [[Named::ArrowDown, Named::ArrowUp], [Named::ArrowRight, Named::ArrowLeft]] {
                    if pair.into_iter().any(|key| leads(fingers, key)) {
                        led.push((stops.len(), pair));
                    }
                }
            });
        }
        for (stop, pair) in led {
            let mut fingers = self.begin();
            (0..stop).for_each(|_| fingers.tab());
            // There, back, and there again: what was chosen at first is chosen once more.
            for key in pair.into_iter().chain(pair).take(3).flat_map(|key| [key; 10]) {
                said.insert(fingers.press(key, Modifiers::empty()).0);
                said.insert(fingers.would_say(Named::Enter).0);
            }
        }
        let mut fingers = self.begin();
        for key in self.keys.iter().flat_map(|key| [*key; 50]) {
            said.insert(fingers.would_say(Named::Enter).0);
            fingers.press(key, Modifiers::empty());
        }
        for _ in 0..(self.said)().len() {
            fingers.press(Named::ArrowUp, Modifiers::CTRL);
            let Screen::Home(home) = &fingers.app.screen else { break };
            let chosen = home.chosen().map(|of| snapshots::at_home(home::Message::Chat(ChatMessage::Choose(Some(of)))));
            said.extend(chosen.map(|chosen| format!("{:?}", [chosen])));
            fingers.around(self.size, |fingers, _| {
                said.insert(fingers.would_say(Named::Enter).0);
            });
            fingers.happens(Message::Key(Key::Named(Named::Tab), Modifiers::empty()));
        }
        (said, stops)
    }

    #[track_caller]
    fn check(&self) {
        let touched = self.begin().touched(self.size);
        assert!(!touched.is_empty(), "nothing can be pressed");
        let (said, stops) = self.by_keys();
        for (words, place) in touched.iter().filter(|(words, _)| words.contains(self.only)) {
            // A menu says nothing before something is chosen in it.
            let opens = words == "[]" && stops.iter().any(|stop| stop.contains(*place));
            assert!(said.contains(words) || opens, "keys do not get at {words} at {place:?}; they say {said:#?}");
        }
    }
}

#[test]
fn on_the_way_to_an_account() {
    use first_run::{Message as M, Way};
    fn server_given() -> Vec<Message> {
        vec![first(M::Begin(Way::Create)), first(M::AddressEdited(server().to_string()))]
    }
    fn named() -> Vec<Message> {
        let mut all = server_given();
        all.extend([first(M::Next), first(M::HandleEdited("alice".to_owned()))]);
        all
    }
    fn waiting() -> Vec<Message> {
        let mut all = named();
        let secret = || "stapler gravel quorum".to_owned().into();
        all.extend([first(M::Next), first(M::PasswordEdited(secret())), first(M::AgainEdited(secret()))]);
        all.extend([first(M::Next), news(News::Step(Step::Code("0123456789abcdef".repeat(6))))]);
        all
    }
    for page in [
        Page::first(Vec::new),
        Page::first(|| vec![first(M::SignIn)]),
        Page::first(|| vec![first(M::Begin(Way::Create)), news(News::Servers(vec![server()]))]),
        Page::first(server_given),
        Page::first(|| {
            let mut all = server_given();
            all.extend([first(M::ShowNetwork), first(M::Network(network::Message::Choose(Kind::Direct)))]);
            all
        }),
        Page::first(|| {
            let mut all = server_given();
            all.extend([first(M::ShowNetwork), first(M::Network(network::Message::Choose(Kind::Tor)))]);
            all
        }),
        Page::first(|| vec![first(M::Begin(Way::Restore))]),
        Page::first(named),
        Page::first(|| {
            let mut all = named();
            all.extend([first(M::Next), first(M::PasswordEdited("stapler gravel quorum".to_owned().into()))]);
            all
        }),
        Page::first(waiting),
        Page::new(CARD, true, || vec![Message::Unlock(unlock::Message::Edited("guess".to_owned().into()))]),
    ] {
        page.check();
    }
}

#[test]
fn among_conversations() {
    for page in [
        Page::home(snapshots::people),
        Page::home(|| {
            let mut all = snapshots::people();
            all.push(at_home(home::Message::Open(handle("niko"))));
            all
        }),
        Page::talking(snapshots::said, Vec::new),
        Page::talking(snapshots::said, || vec![news(News::Failed(Failure::new("file-unreadable")))]),
        Page::talking(snapshots_over::pictures, snapshots_over::came),
        Page {
            field: Some(id::COMPOSER),
            keys: &[Named::ArrowDown],
            only: "Named",
            ..Page::talking(snapshots::said, || {
                let typed = iced::widget::text_editor::Edit::Paste(":smi".to_owned().into());
                vec![in_chat(ChatMessage::Edited(iced::widget::text_editor::Action::Edit(typed)))]
            })
        },
        Page { size: (360.0, 640.0), ..Page::talking(snapshots::said, Vec::new) },
        Page {
            size: (1_180.0, 1_800.0),
            only: "",
            ..Page::talking(|| snapshots::said().split_off(8), || vec![at_home(home::Message::Panel(true))])
        },
    ] {
        page.check();
    }
}

#[test]
fn over_a_conversation() {
    fn link() -> Message {
        let Some(Piece::Link(_, link)) = pieces("http://example.org/login").pop() else { panic!("no link") };
        at_home(home::Message::Link(link))
    }
    let over = |told| Page::talking(|| snapshots::said().split_off(9), told);
    for page in [
        over(|| vec![at_home(home::Message::NewChat), at_home(home::Message::NewChatEdited("dora".to_owned()))]),
        over(|| {
            let chosen = ["/tmp/plans.pdf", "/tmp/tides.txt"].map(|path| Source::File(path.into())).to_vec();
            vec![at_home(home::Message::Attach(true)), news(News::Chosen(chosen))]
        }),
        over(|| vec![link()]),
        over(|| vec![at_home(home::Message::Day), at_home(home::Message::DayEdited("24.11.2026".to_owned()))]),
        over(|| vec![at_home(home::Message::Remove)]),
        over(|| vec![in_chat(ChatMessage::Words(of(10, Direction::In)))]),
        over(|| vec![at_home(home::Message::Sheet(true))]),
        Page::talking(snapshots_over::pictures, || {
            let mut all = snapshots_over::came();
            all.push(in_chat(ChatMessage::OpenPicture(of(2, Direction::In))));
            all
        }),
        Page {
            field: Some(id::PALETTE),
            keys: &[Named::ArrowDown],
            ..over(|| vec![at_home(home::Message::Palette(true))])
        },
        Page {
            field: Some(id::PICKER),
            keys: &[Named::Tab],
            only: "Picked",
            ..over(|| vec![at_home(home::Message::Pick(Some(picker::Purpose::Write)))])
        },
    ] {
        page.check();
    }
}

#[test]
fn in_the_settings() {
    use settings::Message as M;
    const SIZE: (f32, f32) = (900.0, 1_200.0);
    fn setting(message: M) -> Message {
        at_home(home::Message::Setting(message))
    }
    fn show(section: Section) -> Vec<Message> {
        let mut all = snapshots::people();
        all.extend([
            Message::Resized(SIZE.0, SIZE.1),
            at_home(home::Message::Settings(true)),
            setting(M::Show(section)),
            news(News::Settings(Ok(Settings { receipts: true, typing: false }))),
            news(News::LockAfter(Ok(None))),
            news(News::OwnLink(Ok(format!("{}&handle=alice&identity={}", server(), "05".repeat(33))))),
            news(News::NetworkChosen(Ok(Box::default()))),
        ]);
        all
    }
    for page in [
        Page::new(SIZE, true, || show(Section::Profile)),
        Page::new(SIZE, true, || show(Section::Devices)),
        Page::new(SIZE, true, || show(Section::Privacy)),
        Page::new(SIZE, true, || show(Section::Network)),
        Page::new(SIZE, true, || show(Section::Notices)),
        Page::new(SIZE, true, || show(Section::Appearance)),
        Page::new(SIZE, true, || show(Section::Storage)),
        Page::new(SIZE, true, || show(Section::About)),
        Page::new(SIZE, true, || {
            let mut all = show(Section::Storage);
            all.push(setting(M::Ask(Some(Grave::Export))));
            all
        }),
        Page::new((360.0, 640.0), true, || {
            let mut all = show(Section::Appearance);
            all.push(Message::Resized(360.0, 640.0));
            all
        }),
    ] {
        page.check();
    }
}
