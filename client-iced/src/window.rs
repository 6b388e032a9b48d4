//! The window as an iced program. Everything that decides is in [`App`]; here its actions become tasks.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use endtoend_client::clock;
use endtoend_client::profile::Profile;
use iced::advanced::widget::operation::scrollable::{AbsoluteOffset, RelativeOffset};
use iced::advanced::widget::operation::{self, Operation, Scrollable};
use iced::futures::Stream;
use iced::futures::stream;
use iced::{Rectangle, Size, Subscription, Task, Vector, keyboard, system, widget, window};
use jiff::tz::TimeZone;
use tokio::sync::mpsc;

use crate::app::{Action, App, Message};
use crate::bridge::{Bridge, CLOSING_MAX, Places};
use crate::order::News;
use crate::preferences::Preferences;
use crate::screens::home::Place;
use crate::strings::Language;
use crate::theme::{FONTS, REGULAR, size};
use crate::ui::id;

/// How often the window looks at the clock: times to the next attempt are told in seconds.
const TICK: Duration = Duration::from_secs(1);
/// Of the window at first.
const SIZE: Size = Size::new(1_080.0, 740.0);
/// The smallest that it may have.
const SIZE_MIN: Size = Size::new(360.0, 480.0);

/// What comes over the bridge. The first who listens has it.
#[derive(Clone, Debug)]
struct Told(Arc<Mutex<Option<mpsc::Receiver<News>>>>);

impl Hash for Told {
    /// There is one bridge.
    fn hash<H: Hasher>(&self, state: &mut H) {
        "bridge".hash(state);
    }
}

impl Told {
    fn listen(&self) -> impl Stream<Item = Message> + use<> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        stream::unfold(told, |told| async move {
            let mut told = told?;
            let news = told.recv().await?;
            Some((Message::News(news), Some(told)))
        })
    }
}

/// The state of the program.
#[derive(Debug)]
struct Program {
    app: App,
    bridge: Option<Bridge>,
    told: Told,
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

impl Program {
    fn update(&mut self, message: Message) -> Task<Message> {
        let actions = self.app.update(message);
        Task::batch(actions.into_iter().map(|action| self.act(action)))
    }

    fn act(&self, action: Action) -> Task<Message> {
        match action {
            Action::Order(order) => match self.bridge.as_ref().map(|bridge| bridge.tell(order)) {
                Some(Ok(())) => Task::none(),
                Some(Err(failure)) => Task::done(Message::News(News::Failed(failure))),
                None => Task::none(),
            },
            Action::Focus(field) => widget::operation::focus(field),
            Action::FocusNext(false) => widget::operation::focus_next(),
            Action::FocusNext(true) => widget::operation::focus_previous(),
            Action::ShowEnd => widget::operation::scroll_to(id::TIMELINE, AbsoluteOffset { x: None, y: Some(0.0) }),
            // Counted from the end, like every place in the messages: farther than any of them.
            Action::ShowFirst => widget::operation::snap_to(id::TIMELINE, RelativeOffset { x: None, y: Some(1.0) }),
            Action::KeepPlace(place) => iced::advanced::widget::operate(KeepPlace(place)),
            Action::Copy(text) => iced::clipboard::write(text),
        }
    }

    fn view(&self) -> iced::Element<'_, Message> {
        self.app.view()
    }

    fn subscription(&self) -> Subscription<Message> {
        Subscription::batch([
            Subscription::run_with(self.told.clone(), Told::listen),
            iced::time::every(TICK).map(|_| Message::News(News::Now(clock::now()))),
            keyboard::listen().filter_map(|event| match event {
                keyboard::Event::KeyPressed { key, modifiers, .. } => Some(Message::Key(key, modifiers)),
                _ => None,
            }),
            window::events().filter_map(|(_, event)| match event {
                window::Event::Resized(size) | window::Event::Opened { size, .. } => {
                    Some(Message::Resized(size.width, size.height))
                }
                window::Event::FileDropped(path) => Some(Message::Dropped(path)),
                window::Event::Focused => Some(Message::Focused(true)),
                window::Event::Unfocused => Some(Message::Focused(false)),
                _ => None,
            }),
            system::theme_changes().map(|mode| Message::SystemDark(mode == iced::theme::Mode::Dark)),
        ])
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(bridge) = self.bridge.take() {
            // A profile that does not close in time is closed by the end of the process: its database survives that.
            let _in_time = bridge.stop(CLOSING_MAX);
        }
    }
}

/// Opens the window, and returns when it is closed.
///
/// # Errors
/// When the system gives no thread, or there is nothing to draw on.
pub fn run(places: Places, locale: &str) -> Result<(), RunError> {
    let language = Language::of_locale(locale);
    let preferences = match &places.preferences {
        Some(path) => Preferences::load(path, language),
        None => Preferences { language, ..Preferences::default() },
    };
    let profile = Profile::exists(&places.home);
    let (bridge, told) = Bridge::start(places)?;
    let started = Mutex::new(Some((bridge, told)));
    let boot = move || {
        let (app, actions) = App::new(preferences, clock::now(), TimeZone::system(), profile);
        // The program is started once, and so is its bridge.
        let started = started.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (bridge, told) = started.map_or((None, None), |(bridge, told)| (Some(bridge), Some(told)));
        let program = Program { app, bridge, told: Told(Arc::new(Mutex::new(told))) };
        let mut tasks: Vec<Task<Message>> = actions.into_iter().map(|action| program.act(action)).collect();
        tasks.push(system::theme().map(|mode| Message::SystemDark(mode == iced::theme::Mode::Dark)));
        (program, Task::batch(tasks))
    };
    let window = window::Settings {
        size: SIZE,
        min_size: Some(SIZE_MIN),
        platform_specific: platform(),
        ..window::Settings::default()
    };
    let mut application = iced::application(boot, Program::update, Program::view)
        .title(|program: &Program| program.app.title())
        .theme(|program: &Program| program.app.theme())
        .scale_factor(|program: &Program| program.app.scale())
        .subscription(Program::subscription)
        .settings(iced::Settings {
            id: Some(APPLICATION.to_owned()),
            default_font: REGULAR,
            default_text_size: iced::Pixels::from(size::BODY),
            ..iced::Settings::default()
        })
        .window(window);
    for font in FONTS {
        application = application.font(font);
    }
    application.run()?;
    Ok(())
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
