//! How long do updates and pictures take in a window with 1,000 conversations, while one scrolls through a history of 100,000 messages and
//! while 100 messages a second arrive?
//!
//! `cargo run --profile bench -p endtoend-client-iced --example frames`. No display and no server: the state, views and renderer of the
//! program, a wheel that is turned, and answers from memory. The whole picture is painted each time; a real window paints only what has
//! changed. Each figure in milliseconds; a frame at 60 Hz has 16.

use std::error::Error;
use std::time::Duration;

use endtoend_client::clock;
use endtoend_client::database::{
    Body, Contact, Conversation, Direction, Marks, MessageState, Page, Standing, StoredMessage,
};
use endtoend_client::engine::{ConnectionState, Event};
use endtoend_client_iced::action::Action;
use endtoend_client_iced::app::{App, Message};
use endtoend_client_iced::order::{Load, Me, News, Order};
use endtoend_client_iced::preferences::Preferences;
use endtoend_client_iced::screens::home;
use endtoend_client_iced::theme::{REGULAR, fonts};
use endtoend_protocol::{AccountTag, Arrangement, MessageId, Text, UnixMillis};
use iced::advanced::{clipboard, renderer};
use iced::{Pixels, Point, Renderer, Size, mouse};
use iced_test::core::renderer::Headless as _;
use iced_test::runtime::user_interface::{Cache, UserInterface};
use jiff::tz::TimeZone;

const PEOPLE: u32 = 1_000;
const MESSAGES: u32 = 100_000;
const FRAMES: u32 = 600;
const SIZE: Size = Size::new(1_180.0, 740.0);
const NOW: u64 = 1_795_701_900_000;
/// A frame at 60 Hz.
const BUDGET: Duration = Duration::from_millis(16);

type Failed = Box<dyn Error>;

#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn of<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let began = clock::monotonic();
        let done = work();
        self.0.push(clock::monotonic() - began);
        done
    }

    fn tell(&mut self, what: &str) {
        self.0.sort_unstable();
        let at = |part: usize| {
            let index = (self.0.len() * part / 100).min(self.0.len().saturating_sub(1));
            self.0.get(index).copied().unwrap_or_default().as_secs_f64() * 1e3
        };
        let over = self.0.iter().filter(|time| **time > BUDGET).count();
        let (count, [p50, p99, max]) = (self.0.len(), [50, 99, 100].map(at));
        println!("  {what:<22} {count:>6}   p50 {p50:>7.3}   p99 {p99:>7.3}   max {max:>7.3}   over 16 ms: {over}");
    }
}

fn message(number: u32) -> Result<StoredMessage, Failed> {
    let at = UnixMillis::new(NOW - u64::from(MESSAGES.saturating_sub(number)) * 60_000);
    let mut random = [0; 10];
    random.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
    let own = number.is_multiple_of(3);
    let words = "The eastern pier is fine, but the crane needs another week, and the ferry cannot wait that long.";
    let words = words.get(..20 + usize::try_from(number % 70)?).unwrap_or(words);
    Ok(StoredMessage {
        seq: number.into(),
        peer: AccountTag::new([2; 32]),
        handle: Some("person0".parse()?),
        direction: if own { Direction::Out } else { Direction::In },
        id: MessageId::new(at, random),
        state: if own { MessageState::Delivered } else { MessageState::Received },
        body: Body::Text(Text::new(format!("{number}: {words}"))?),
        sent_at: at,
        accepted_at: Some(at),
        received_at: Some(at),
        wire_bytes: None,
        shown: true,
        marks: Marks::default(),
    })
}

fn conversation(number: u32, last: Option<StoredMessage>) -> Result<Conversation, Failed> {
    let mut tag = [3; 32];
    tag.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
    let contact = Contact {
        tag: AccountTag::new(tag),
        handle: Some(format!("person{number}").parse()?),
        changed_identity: None,
        standing: Standing::Accepted,
        told: true,
        nickname: None,
        verified: false,
        arrangement: Arrangement::default(),
        face_name: None,
        portrait: None,
    };
    Ok(Conversation { contact, last, unread: u64::from(number % 7 == 3) })
}

/// The window, a person's history, and what was measured.
struct Window {
    app: App,
    cache: Option<Cache>,
    renderer: Renderer,
    history: Vec<StoredMessage>,
    updates: Times,
    layouts: Times,
    pictures: Times,
}

impl Window {
    fn tell(&mut self, message: Message) -> Result<(), Failed> {
        let app = &mut self.app;
        let actions = self.updates.of(|| app.update(message));
        for action in actions {
            if let Action::Order(Order::Load(load)) = action {
                let page = self.page(&load);
                self.tell(Message::News(News::Loaded(load, Ok((page, Vec::new())))))?;
            }
        }
        Ok(())
    }

    /// As the database answers.
    fn page(&self, load: &Load) -> Vec<StoredMessage> {
        let limit = usize::try_from(load.limit).unwrap_or(usize::MAX);
        let place = |id: MessageId| self.history.iter().position(|message| message.id == id).unwrap_or_default();
        let (from, to) = match load.page {
            Page::Before(id) => (place(id).saturating_sub(limit), place(id)),
            Page::After(id) => (place(id) + 1, place(id) + 1 + limit),
            _ => (self.history.len().saturating_sub(limit), self.history.len()),
        };
        self.history.get(from..to.min(self.history.len())).unwrap_or_default().to_vec()
    }

    /// One frame, with what has happened to the window meanwhile.
    fn frame(&mut self, events: &[iced::Event]) -> Result<(), Failed> {
        let cursor = mouse::Cursor::Available(Point::new(760.0, 360.0));
        let mut messages = Vec::new();
        let (app, renderer) = (&self.app, &mut self.renderer);
        let cache = self.cache.take().unwrap_or_default();
        let mut interface = self.layouts.of(|| UserInterface::build(app.view(), SIZE, cache, renderer));
        let theme = app.theme();
        let text_color = theme.palette().text;
        self.pictures.of(|| {
            interface.update(events, cursor, renderer, &mut clipboard::Null, &mut messages);
            interface.draw(renderer, &theme, &renderer::Style { text_color }, cursor);
            let physical = Size::new(1_180, 740);
            renderer.screenshot(physical, 1.0, theme.palette().background)
        });
        self.cache = Some(interface.into_cache());
        messages.into_iter().try_for_each(|message| self.tell(message))
    }

    fn measured(&mut self, what: &str) {
        println!("{what}");
        for (times, name) in [
            (&mut self.updates, "update"),
            (&mut self.layouts, "view and layout"),
            (&mut self.pictures, "picture, all of it"),
        ] {
            times.tell(name);
            times.0.clear();
        }
    }
}

fn main() -> Result<(), Failed> {
    let (app, _) = App::new(Preferences::default(), UnixMillis::new(NOW), TimeZone::UTC, true);
    fonts::install();
    let history: Vec<StoredMessage> = (0..MESSAGES).map(message).collect::<Result<_, _>>()?;
    let mut window = Window {
        app,
        cache: None,
        renderer: Renderer::new(REGULAR, Pixels(15.0)),
        history,
        updates: Times::default(),
        layouts: Times::default(),
        pictures: Times::default(),
    };
    let news = |news| Message::News(news);
    let server = format!("endtoend://chat.example.org:8443/#pin={}", "5f".repeat(64)).parse()?;
    let people =
        (0..PEOPLE).map(|number| conversation(number, window.history.last().cloned())).collect::<Result<_, _>>()?;
    window.tell(Message::Resized(SIZE.width, SIZE.height))?;
    window.tell(news(News::Entered(Box::new(Me { handle: "alice".parse()?, device: 1, server }))))?;
    window.tell(news(News::Conversations(Ok(people))))?;
    window.tell(news(News::Connection(ConnectionState::Online)))?;
    window.tell(Message::Home(home::Message::Open("person0".parse()?)))?;
    for _ in 0..5 {
        window.frame(&[])?;
    }
    window.measured("open, and at rest");

    for frame in 0..FRAMES {
        // Up through the history, and half as far down again.
        let y = if frame < FRAMES * 2 / 3 { 3.0 } else { -3.0 };
        let delta = mouse::ScrollDelta::Lines { x: 0.0, y };
        window.frame(&[iced::Event::Mouse(mouse::Event::WheelScrolled { delta })])?;
    }
    window.measured("while one scrolls");

    window.tell(Message::Home(home::Message::Chat(home::ChatMessage::ShowEnd)))?;
    window.frame(&[])?;
    // Ten seconds of 100 messages each; two thirds of the frames of 60 Hz have one or two. A third of them are of this conversation.
    for number in 0..1_000_u32 {
        let at = UnixMillis::new(NOW + u64::from(number) * 10);
        let who = if number.is_multiple_of(3) { 0 } else { number % PEOPLE };
        let said = message(MESSAGES + number)?;
        if who == 0 {
            window.history.push(said.clone());
        }
        let event = Event::Received { from: Some(format!("person{who}").parse()?), id: said.id };
        window.tell(news(News::Event(Box::new(event))))?;
        let line = Box::new(conversation(who, Some(said))?);
        window.tell(news(News::Conversation(format!("person{who}").parse()?, Ok(Some(line)))))?;
        if number.is_multiple_of(100) {
            window.tell(news(News::Now(at)))?;
        }
        window.frame(&[])?;
    }
    window.measured("while 100 messages a second arrive");
    Ok(())
}
