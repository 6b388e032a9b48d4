//! The window as an iced program. Everything that decides is in [`App`]; here its actions become tasks. The program outlives its
//! window: what a tray shows can open it again.

use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use endtoend_client::clock;
use endtoend_client::profile::Profile;
use iced::advanced::widget::operation::scrollable::{AbsoluteOffset, RelativeOffset};
use iced::advanced::widget::operation::{self, Operation, Scrollable};
use iced::futures::Stream;
use iced::futures::stream;
use iced::{Rectangle, Subscription, Task, Vector, clipboard, event, keyboard, mouse, system, widget, window};
use jiff::tz::TimeZone;
use tokio::sync::mpsc;

use crate::action::{Action, Place};
use crate::app::{App, Hand, Message};
use crate::bridge::{Bridge, CLOSING_MAX, Places};
use crate::clipboard::Trace;
use crate::desktop::{self, Desktop, Reach};
use crate::focus::walk;
use crate::geometry::{Geometry, SIZE_MIN};
use crate::order::News;
use crate::preferences::Preferences;
use crate::screens::unlock;
use crate::secret::Secret;
use crate::strings::Language;
use crate::theme::{REGULAR, fonts, size};
use crate::timings::Timings;
use crate::ui::id;

/// How often the window looks at the clock: times to the next attempt are told in seconds.
const TICK: Duration = Duration::from_secs(1);

/// What comes over a bridge. The first who listens has it.
#[derive(Debug)]
struct Told<T>(&'static str, Arc<Mutex<Option<mpsc::Receiver<T>>>>);

impl<T> Clone for Told<T> {
    fn clone(&self) -> Self {
        Self(self.0, Arc::clone(&self.1))
    }
}

impl<T> Hash for Told<T> {
    /// There is one bridge of each name.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<T: Send + 'static> Told<T> {
    fn new(name: &'static str, told: Option<mpsc::Receiver<T>>) -> Self {
        Self(name, Arc::new(Mutex::new(told)))
    }

    fn listen(&self) -> impl Stream<Item = T> + use<T> {
        let told = self.1.lock().unwrap_or_else(PoisonError::into_inner).take();
        stream::unfold(told, |told| async move {
            let mut told = told?;
            let news = told.recv().await?;
            Some((news, Some(told)))
        })
    }
}

/// What happens to the program: to its state, or to its window.
#[derive(Clone, Debug)]
enum Happened {
    App(Message),
    Window(window::Id, window::Event),
}

/// The state of the program.
#[derive(Debug)]
struct Program {
    app: App,
    bridge: Option<Bridge>,
    told: Told<News>,
    desktop: Option<Desktop>,
    desktop_told: Told<desktop::News>,
    window: Option<window::Id>,
    geometry: Geometry,
    /// Where that is kept.
    kept: Option<PathBuf>,
    timings: Option<Timings>,
}

/// Where what was before the eyes is after something was put below it, or taken from there.
struct KeepPlace(Place);

impl<T> Operation<T> for KeepPlace {
    fn traverse(&mut self, operate: &mut dyn FnMut(&mut dyn Operation<T>)) {
        operate(self);
    }

    fn scrollable(
        &mut self,
        name: Option<&widget::Id>,
        _bounds: Rectangle,
        content: Rectangle,
        _translation: Vector,
        state: &mut dyn Scrollable,
    ) {
        if name == Some(&widget::Id::new(id::TIMELINE)) {
            let y = (self.0.offset + content.height - self.0.content).max(0.0);
            state.scroll_to(AbsoluteOffset { x: None, y: Some(y) });
        }
    }

    fn finish(&self) -> operation::Outcome<T> {
        operation::Outcome::None
    }
}

/// Finds the chosen message, and scrolls the messages to it when it is not before the eyes.
#[derive(Default)]
struct ShowChosen {
    chosen: Option<Rectangle>,
    /// Of the messages: what is shown of them, all of them, and how far they are scrolled.
    log: Option<(Rectangle, Rectangle, Vector)>,
}

impl ShowChosen {
    /// From the end, as every place in the messages is.
    fn offset(&self) -> Option<f32> {
        let (chosen, (shown, all, moved)) = (self.chosen?, self.log?);
        let (top, bottom) = (chosen.y - moved.y, chosen.y + chosen.height - moved.y);
        if top >= shown.y && bottom <= shown.y + shown.height {
            return None;
        }
        let from_top = chosen.y + chosen.height / 2.0 - shown.y - shown.height / 2.0;
        let most = (all.height - shown.height).max(0.0);
        Some(most - from_top.clamp(0.0, most))
    }
}

impl<T: 'static> Operation<T> for ShowChosen {
    fn traverse(&mut self, operate: &mut dyn FnMut(&mut dyn Operation<T>)) {
        operate(self);
    }

    fn container(&mut self, name: Option<&widget::Id>, bounds: Rectangle) {
        if name == Some(&widget::Id::new(id::CHOSEN)) {
            self.chosen = Some(bounds);
        }
    }

    fn scrollable(
        &mut self,
        name: Option<&widget::Id>,
        bounds: Rectangle,
        content: Rectangle,
        translation: Vector,
        _state: &mut dyn Scrollable,
    ) {
        if name == Some(&widget::Id::new(id::TIMELINE)) {
            self.log = Some((bounds, content, translation));
        }
    }

    fn finish(&self) -> operation::Outcome<T> {
        match self.offset() {
            Some(y) => {
                let offset = AbsoluteOffset { x: None, y: Some(y) };
                let scroll = operation::scrollable::scroll_to(widget::Id::new(id::TIMELINE), offset);
                operation::Outcome::Chain(Box::new(scroll))
            }
            None => operation::Outcome::None,
        }
    }
}

/// A key, where the keys of other alphabets count as those of the Latin one in their place: shortcuts are named by it.
fn named(key: keyboard::Key, physical: keyboard::key::Physical, modifiers: keyboard::Modifiers) -> Message {
    let latin = key.to_latin(physical).filter(|_| modifiers.command() || modifiers.alt());
    let key = latin.map_or(key, |letter| keyboard::Key::Character(letter.to_string().into()));
    Message::Key(key, modifiers)
}

/// Keys that nothing has taken.
fn keys(event: iced::Event, status: iced::event::Status, _window: window::Id) -> Option<Message> {
    let iced::Event::Keyboard(keyboard::Event::KeyPressed { key, physical_key, modifiers, .. }) = event else {
        return None;
    };
    (status == iced::event::Status::Ignored).then(|| named(key, physical_key, modifiers))
}

impl Program {
    fn update(&mut self, happened: Happened) -> Task<Happened> {
        let begun = self.timings.as_ref().map(Timings::begin);
        let task = match happened {
            Happened::App(message) => self.tell(message),
            Happened::Window(id, event) if Some(id) == self.window => self.window_event(event),
            Happened::Window(..) => Task::none(),
        };
        if let (Some(timings), Some(begun)) = (&self.timings, begun) {
            timings.end(begun, &self.app);
        }
        task
    }

    fn tell(&mut self, message: Message) -> Task<Happened> {
        let actions = self.app.update(message);
        Task::batch(actions.into_iter().map(|action| self.act(action)))
    }

    fn window_event(&mut self, event: window::Event) -> Task<Happened> {
        let message = match event {
            window::Event::Opened { size, position } => {
                if let Some(place) = position {
                    (self.geometry.x, self.geometry.y) = (Some(place.x), Some(place.y));
                }
                Message::Resized(size.width, size.height)
            }
            window::Event::Resized(size) => {
                (self.geometry.width, self.geometry.height) = (size.width, size.height);
                Message::Resized(size.width, size.height)
            }
            window::Event::Moved(place) => {
                (self.geometry.x, self.geometry.y) = (Some(place.x), Some(place.y));
                return Task::none();
            }
            window::Event::CloseRequested => Message::Close,
            // By somebody else than this program.
            window::Event::Closed => {
                self.window = None;
                Message::Close
            }
            window::Event::FileDropped(path) => Message::Dropped(path),
            window::Event::Focused => Message::Focused(true),
            window::Event::Unfocused => Message::Focused(false),
            _ => return Task::none(),
        };
        self.tell(message)
    }

    fn act(&mut self, action: Action) -> Task<Happened> {
        if let Some(way) = action.way() {
            return iced::advanced::widget::operate(walk::walk(way));
        }
        match action {
            Action::Order(order) => match self.bridge.as_ref().map(|bridge| bridge.tell(order)) {
                Some(Ok(())) => Task::none(),
                Some(Err(failure)) => Task::done(Happened::App(Message::News(News::Failed(failure)))),
                None => Task::none(),
            },
            // They are ways of the keyboard.
            Action::Focus(_) | Action::FocusNext(_) | Action::FocusFirst | Action::FocusBack => Task::none(),
            Action::TurnPage(down) => iced::advanced::widget::operate(walk::turn(down)),
            Action::Scroll(list, y) => widget::operation::scroll_to(list, AbsoluteOffset { x: None, y: Some(y) }),
            Action::ShowEnd => widget::operation::scroll_to(id::TIMELINE, AbsoluteOffset { x: None, y: Some(0.0) }),
            // Counted from the end, like every place in the messages: farther than any of them.
            Action::ShowFirst => widget::operation::snap_to(id::TIMELINE, RelativeOffset { x: None, y: Some(1.0) }),
            Action::Reveal(list, part) => widget::operation::snap_to(list, RelativeOffset { x: None, y: Some(part) }),
            Action::ShowChosen => iced::advanced::widget::operate(ShowChosen::default()),
            Action::KeepPlace(place) => iced::advanced::widget::operate(KeepPlace(place)),
            Action::Copy(text) | Action::CopySecret(text) => clipboard::write(text),
            Action::ClearClipboard(trace) => clear_clipboard(trace),
            Action::Desktop(order) => {
                if let Some(desktop) = &self.desktop {
                    desktop.tell(order);
                }
                Task::none()
            }
            Action::ShowWindow => self.show(),
            Action::HideWindow => self.window.take().map_or_else(Task::none, window::close),
            Action::Quit => iced::exit(),
        }
    }

    fn show(&mut self) -> Task<Happened> {
        if let Some(id) = self.window {
            return Task::batch([window::minimize(id, false), window::gain_focus(id)]);
        }
        let position = self.geometry.place().map_or(window::Position::Default, window::Position::Specific);
        let (id, opened) = window::open(window::Settings {
            size: self.geometry.size(),
            min_size: Some(SIZE_MIN),
            position,
            icon: icon(),
            platform_specific: platform(),
            exit_on_close_request: false,
            ..window::Settings::default()
        });
        self.window = Some(id);
        opened.then(window::gain_focus)
    }

    fn view(&self, _: window::Id) -> iced::Element<'_, Happened> {
        let view = self.app.view().map(Happened::App);
        match &self.timings {
            Some(timings) => timings.notice(view),
            None => view,
        }
    }

    fn subscription(&self) -> Subscription<Happened> {
        let messages = [
            Subscription::run_with(self.told.clone(), Told::listen).map(Message::News),
            Subscription::run_with(self.desktop_told.clone(), Told::listen).map(Message::Desktop),
            iced::time::every(TICK).map(|_| Message::News(News::Now(clock::now()))),
            event::listen_with(keys),
            event::listen_with(somebody_is_there),
            system::theme_changes().map(|mode| Message::SystemDark(mode == iced::theme::Mode::Dark)),
        ];
        let mut all: Vec<Subscription<Happened>> =
            messages.into_iter().map(|messages| messages.map(Happened::App)).collect();
        all.push(window::events().map(|(id, event)| Happened::Window(id, event)));
        Subscription::batch(all)
    }
}

/// A pointer that only moves is no sign of a person: something may have pushed the table.
#[expect(clippy::needless_pass_by_value, reason = "as iced calls it")]
fn somebody_is_there(event: iced::Event, _: event::Status, _: window::Id) -> Option<Message> {
    match event {
        iced::Event::Keyboard(keyboard::Event::KeyPressed { .. }) => Some(Message::Active(Hand::Keys)),
        iced::Event::Mouse(mouse::Event::ButtonPressed(_) | mouse::Event::WheelScrolled { .. })
        | iced::Event::Touch(_) => Some(Message::Active(Hand::Pointer)),
        _ => None,
    }
}

/// Takes what was put there out of the clipboard, unless something else is there by now.
fn clear_clipboard(trace: Trace) -> Task<Happened> {
    clipboard::read().then(move |there| match there {
        Some(text) if trace.is_of(&text) => clipboard::write(String::new()),
        Some(_) | None => Task::none(),
    })
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(path) = &self.kept {
            // It is only where a window was.
            let _not_kept = self.geometry.save(path);
        }
        if let Some(timings) = &self.timings {
            timings.tell();
        }
        if let Some(bridge) = self.bridge.take() {
            // A profile that does not close in time is closed by the end of the process: its database survives that.
            let _in_time = bridge.stop(CLOSING_MAX);
        }
    }
}

/// How the program is started.
#[derive(Debug)]
pub struct Start {
    /// Where things lie.
    pub places: Places,
    /// As the system names the language of its messages.
    pub locale: String,
    /// Where the desktop is reached, and what this program's instance is called there.
    pub desktop: (Reach, String),
    /// Of the profile, where it is not to be asked for.
    pub password: Option<Secret>,
    /// Where the window is; `None`: as it was.
    pub geometry: Option<Geometry>,
    /// Whether it says how long things take, on standard error.
    pub timings: bool,
}

/// Opens the window, and returns when the program has ended.
///
/// # Errors
/// When the system gives no thread, or there is nothing to draw on.
pub fn run(start: Start) -> Result<(), RunError> {
    let Start { places, locale, desktop: (reach, instance), password, geometry, timings } = start;
    let language = Language::of_locale(&locale);
    let preferences = match &places.preferences {
        Some(path) => Preferences::load(path, language),
        None => Preferences { language, ..Preferences::default() },
    };
    let kept = places.preferences.as_ref().map(|path| Geometry::path(path, &places.home));
    let geometry = geometry.or_else(|| kept.as_deref().map(Geometry::load)).unwrap_or_default();
    let profile = Profile::exists(&places.home);
    let (bridge, told) = Bridge::start(places)?;
    let (desktop, desktop_told) = Desktop::start(reach, instance)?;
    let timings = timings.then(Timings::default);
    let started = Mutex::new(Some((bridge, told, desktop, desktop_told, timings)));
    let boot = move || {
        let (mut app, mut actions) = App::new(preferences, clock::now(), TimeZone::system(), profile);
        if let Some(password) = &password {
            actions.extend(app.update(Message::Unlock(unlock::Message::Edited(password.clone()))));
            actions.extend(app.update(Message::Unlock(unlock::Message::Open)));
        }
        // The program is started once, and so are its bridges.
        let started = started.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut program = Program {
            app,
            bridge: None,
            told: Told::new("bridge", None),
            desktop: None,
            desktop_told: Told::new("desktop", None),
            window: None,
            geometry,
            kept: kept.clone(),
            timings: None,
        };
        if let Some((bridge, told, desktop, desktop_told, timings)) = started {
            program.bridge = Some(bridge);
            program.told = Told::new("bridge", Some(told));
            program.desktop = Some(desktop);
            program.desktop_told = Told::new("desktop", Some(desktop_told));
            program.timings = timings;
        }
        let mut tasks = vec![program.show()];
        tasks.extend(actions.into_iter().map(|action| program.act(action)));
        let dark = |mode| Happened::App(Message::SystemDark(mode == iced::theme::Mode::Dark));
        tasks.push(system::theme().map(dark));
        (program, Task::batch(tasks))
    };
    fonts::install();
    let application = iced::daemon(boot, Program::update, Program::view)
        .title(|program: &Program, _| program.app.title())
        .theme(|program: &Program, _| program.app.theme())
        .scale_factor(|program: &Program, _| program.app.scale())
        .subscription(Program::subscription)
        .settings(iced::Settings {
            id: Some(APPLICATION.to_owned()),
            default_font: REGULAR,
            default_text_size: iced::Pixels::from(size::BODY),
            ..iced::Settings::default()
        });
    application.run()?;
    Ok(())
}

fn icon() -> Option<window::Icon> {
    let picture = desktop::icon();
    window::icon::from_rgba(picture.rgba, picture.side, picture.side).ok()
}

/// As the system knows it: name of its desktop entry.
const APPLICATION: &str = "endtoend-desktop";

#[cfg(target_os = "linux")]
fn platform() -> window::settings::PlatformSpecific {
    window::settings::PlatformSpecific {
        application_id: APPLICATION.to_owned(),
        ..window::settings::PlatformSpecific::default()
    }
}

#[cfg(not(target_os = "linux"))]
fn platform() -> window::settings::PlatformSpecific {
    window::settings::PlatformSpecific::default()
}

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No thread, or no event queue.
    #[error("the program could not start")]
    Thread(#[from] std::io::Error),
    /// No display, or nothing that draws.
    #[error("no window could be opened; is there a display?")]
    Window(#[from] iced::Error),
}
