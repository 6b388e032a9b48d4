//! What the bridge tells the main window.

use endtoend_client::database::Conversation;
use endtoend_client::engine::{Change, ConnectionState, Event, FileStep};
use endtoend_client::handle::Handle;
use endtoend_protocol::UnixMillis;

use super::begun::Begun;
use super::{DRAFTS_MAX, Home};
use crate::action::Action;
use crate::order::{News, Order};

impl Home {
    /// The bridge tells something.
    pub fn news(&mut self, news: News, now: UnixMillis) -> Vec<Action> {
        let mut actions = self.heard(news, now);
        actions.extend(self.look());
        actions
    }

    fn heard(&mut self, news: News, now: UnixMillis) -> Vec<Action> {
        match news {
            News::Connection(state) => {
                if state != ConnectionState::Online {
                    self.typing.clear();
                }
                self.connection = state;
                Vec::new()
            }
            News::Event(event) => self.event(*event, now),
            News::Missed => self.everything(),
            News::Conversations(Ok(conversations)) => {
                (self.conversations, self.listed) = (conversations, true);
                Vec::new()
            }
            News::Conversation(with, Ok(conversation)) => {
                self.one_line(&with, conversation.map(|conversation| *conversation));
                Vec::new()
            }
            News::Loaded(load, loaded) => {
                let Some(chat) = self.chat.as_mut().filter(|chat| chat.with == load.with) else { return Vec::new() };
                match loaded {
                    Ok((messages, notices)) => chat.loaded(load.number, messages, notices),
                    Err(failure) => {
                        chat.timeline.failed(load.number);
                        self.failure = Some(failure);
                        Vec::new()
                    }
                }
            }
            News::Found(number, found) => {
                let (awaited, words) = match &mut self.palette {
                    Some(palette) if palette.found.is_awaited(number) => {
                        let words = palette.words().to_owned();
                        (&mut palette.found, words)
                    }
                    _ if self.found.is_awaited(number) => (&mut self.found, self.filter.trim().to_owned()),
                    _ => return Vec::new(),
                };
                match found {
                    Ok(messages) => awaited.heard(messages, &words),
                    Err(failure) => self.failure = Some(failure),
                }
                Vec::new()
            }
            News::Drafts(Ok(drafts)) => {
                for (with, draft) in drafts.into_iter().take(DRAFTS_MAX) {
                    // What was written meanwhile is later.
                    let open = self.chat.as_mut().filter(|chat| chat.with == with);
                    match open {
                        Some(chat) if chat.content.is_empty() && chat.mark.is_none() => chat.go_on(draft.into()),
                        Some(_) => {}
                        None => {
                            self.drafts.entry(with).or_insert_with(|| draft.into());
                        }
                    }
                }
                Vec::new()
            }
            News::Drafts(Err(failure)) => {
                self.failure = Some(failure);
                Vec::new()
            }
            News::Arranged(arranged) => {
                self.failure = arranged.err().or(self.failure.take());
                vec![Action::Order(Order::Conversations)]
            }
            News::Named(with, named) => {
                self.failure = named.err().or(self.failure.take());
                vec![Action::Order(Order::Conversation(with))]
            }
            News::Added(with, added) => {
                let Some(new) = self.new_chat.as_mut().filter(|new| new.asking) else {
                    return vec![Action::Order(Order::Conversations)];
                };
                match added {
                    Ok(()) => {
                        let mut actions = self.open(with);
                        actions.push(Action::Order(Order::Conversations));
                        actions
                    }
                    Err(failure) => {
                        (new.asking, new.failure) = (false, Some(failure));
                        Vec::new()
                    }
                }
            }
            News::Attached(with, attached) => {
                self.failure = attached.err().or(self.failure.take());
                self.happened_with(with)
            }
            News::Chosen(files) => self.chosen_files(files),
            News::Picture(with, of, scale, drawn) => match self.chat.as_ref().is_some_and(|chat| chat.with == with) {
                true => self.picture_came(of, scale, drawn),
                false => Vec::new(),
            },
            News::Face(of, picture) => self.face_came(of, picture),
            News::OwnFace(own) => {
                self.own_face_came(own);
                Vec::new()
            }
            News::FaceSet(Ok(own)) => {
                self.own_face_came(Ok(own.clone()));
                self.settings_news(News::FaceSet(Ok(own)))
            }
            News::FirstUnread(with, first) => {
                if let Some(chat) = self.chat.as_mut().filter(|chat| chat.with == with) {
                    chat.divider = first;
                }
                Vec::new()
            }
            News::Saved(Ok(place)) => {
                self.saved = Some(place.display().to_string());
                Vec::new()
            }
            News::Saved(Err(failure)) => {
                self.failure = Some(failure);
                Vec::new()
            }
            News::Queued(with) => {
                let chat = self.chat.as_mut().filter(|chat| chat.with == with);
                if let Some(chat) = chat {
                    chat.queued();
                }
                self.happened_with(with)
            }
            News::NotQueued(with, text, failure) => {
                match self.chat.as_mut().filter(|chat| chat.with == with) {
                    Some(chat) => chat.not_queued(&text),
                    None => {
                        let Begun { words, .. } = self.drafts.entry(with).or_default();
                        *words = format!("{}\n{words}", text.as_str()).trim_end().to_owned();
                    }
                }
                self.failure = Some(failure);
                Vec::new()
            }
            News::Acted(with, acted) => {
                self.failure = acted.err().or(self.failure.take());
                let mut actions = vec![Action::Order(Order::Timer(with.clone()))];
                actions.extend(self.happened_with(with));
                actions
            }
            News::SeenNoted(with) => vec![Action::Order(Order::Conversation(with))],
            News::Timer(with, timer) => {
                if let Some(chat) = self.chat.as_mut().filter(|chat| chat.with == with) {
                    chat.timer = timer;
                }
                Vec::new()
            }
            News::Verification(with, verification) => {
                if let Some(chat) = self.chat.as_mut().filter(|chat| chat.with == with) {
                    chat.verification = Some(verification);
                }
                self.happened_with(with)
            }
            News::Compared(with, Ok(verification)) => {
                if let Some(chat) = self.chat.as_mut().filter(|chat| chat.with == with) {
                    chat.verification = Some(Ok(verification));
                }
                self.happened_with(with)
            }
            News::Compared(_, Err(failure)) => {
                self.failure = Some(failure);
                Vec::new()
            }
            News::Shared(with, shared) => {
                self.shared_came(&with, shared);
                Vec::new()
            }
            News::DevicesOf(with, devices) => {
                self.devices_came(&with, devices);
                Vec::new()
            }
            News::Removed(with, removed) => self.was_removed(with, removed),
            News::Code(code) => self.code_read(code),
            News::Decided(with, decided) => {
                self.failure = decided.err().or(self.failure.take());
                self.happened_with(with)
            }
            News::Conversations(Err(failure)) | News::Conversation(_, Err(failure)) | News::Failed(failure) => {
                self.failure = Some(failure);
                Vec::new()
            }
            News::OwnLink(link) => {
                self.code_came(&link);
                self.settings_news(News::OwnLink(link))
            }
            News::Network(status) => {
                self.network = status;
                Vec::new()
            }
            News::NetworkChosen(_)
            | News::NetworkSet(_)
            | News::Circuits(_)
            | News::Checked(_)
            | News::Bridges(_)
            | News::Programs(_)
            | News::FaceSet(Err(_))
            | News::FaceSource(_)
            | News::Settings(_)
            | News::Devices(_)
            | News::Digits(_)
            | News::LetIn(_)
            | News::LockAfter(_)
            | News::Usage(_)
            | News::Written(_)
            | News::Cleared(_) => self.settings_news(news),
            News::Opened => Vec::new(),
            // Of another screen, or for the application.
            News::Step(_)
            | News::Entered(_)
            | News::NoAccount
            | News::NotEntered(..)
            | News::Cancelled(_)
            | News::StartedOver(_)
            | News::Servers(_)
            | News::Now(_) => Vec::new(),
        }
    }

    /// Looks at everything once more.
    fn everything(&mut self) -> Vec<Action> {
        let mut actions = vec![Action::Order(Order::Conversations), Action::Order(Order::OwnFace)];
        if let Some(chat) = &mut self.chat {
            actions.extend(chat.again());
            actions.push(Action::Order(Order::Timer(chat.with.clone())));
        }
        actions
    }

    /// Something happened in the conversation with somebody.
    fn happened_with(&mut self, with: Handle) -> Vec<Action> {
        let chat = self.chat.as_mut().filter(|chat| chat.with == with);
        let again = chat.and_then(super::Chat::again);
        let mut actions = vec![Action::Order(Order::Conversation(with))];
        actions.extend(again);
        actions
    }

    /// Something happened to a message of ours, in whichever conversation it is.
    fn happened_somewhere(&mut self) -> Vec<Action> {
        match &self.chat {
            Some(chat) => self.happened_with(chat.with.clone()),
            None => vec![Action::Order(Order::Conversations)],
        }
    }

    fn event(&mut self, event: Event, now: UnixMillis) -> Vec<Action> {
        match event {
            Event::Connection(_) | Event::Network(_) | Event::Sent { .. } | Event::Delayed { .. } => Vec::new(),
            Event::Changed { with: Some(with), change: Change::Typing { stopped }, .. } => {
                match stopped {
                    true => self.typing.remove(&with),
                    false => self.typing.insert(with, now),
                };
                Vec::new()
            }
            Event::Changed { with: Some(with), change: Change::Timer(timer), .. } => {
                if let Some(chat) = self.chat.as_mut().filter(|chat| chat.with == with) {
                    chat.timer = timer;
                }
                Vec::new()
            }
            // Another device of this account has settled something about it: how it shows itself, perhaps.
            Event::Changed { with: Some(with), change: Change::Settled, .. } if with == self.me.handle => {
                self.everything()
            }
            Event::Changed { with: Some(with), id, change } => {
                if change == Change::Removed {
                    self.found.hits.retain(|hit| hit.with != with);
                }
                // What is gone, or says something else, is not to be read among what was found.
                if let (Some(id), Change::Expired | Change::Deleted | Change::Edited) = (id, change) {
                    self.found.forget(&with, id);
                    self.forget_picture(&with, id);
                }
                // What was being typed is there.
                if change == Change::Edited {
                    self.typing.remove(&with);
                }
                self.happened_with(with)
            }
            Event::Received { from: Some(from), .. } => {
                self.typing.remove(&from);
                self.happened_with(from)
            }
            Event::File { with: Some(with), message, step: FileStep::Moved { done, bytes } } => {
                if let Some(chat) = self.chat.as_mut().filter(|chat| chat.with == with) {
                    chat.moved(message.id, done, bytes);
                }
                Vec::new()
            }
            Event::File { with: None, step: FileStep::Moved { .. }, .. } => Vec::new(),
            Event::File { with: Some(with), message, step: FileStep::Is(_) } => {
                if let Some(chat) = self.chat.as_mut().filter(|chat| chat.with == with) {
                    chat.moved.remove(&message.id);
                }
                self.happened_with(with)
            }
            Event::File { with: None, .. } => self.happened_somewhere(),
            Event::ClockOff { by, ahead } => {
                self.clock_off = Some((by.as_secs(), ahead));
                Vec::new()
            }
            Event::Accepted { .. } | Event::Rejected { .. } => self.happened_somewhere(),
            Event::IdentityChanged { handle: Some(handle), .. } | Event::BadKeys { handle: Some(handle) } => {
                self.happened_with(handle)
            }
            Event::Noticed(notice) => match notice.handle {
                Some(handle) if !notice.own => self.happened_with(handle),
                Some(_) | None => self.happened_somewhere(),
            },
            Event::DevicesChanged => match self.settings {
                Some(_) => vec![Action::Order(Order::Devices)],
                None => Vec::new(),
            },
            // Names come to be known, people are decided about on other devices.
            Event::AllSent { .. }
            | Event::Decided { .. }
            | Event::Changed { with: None, .. }
            | Event::Received { from: None, .. }
            | Event::IdentityChanged { handle: None, .. }
            | Event::BadKeys { handle: None }
            | Event::Unreadable { .. } => self.everything(),
        }
    }

    /// One line of the list is otherwise than it was: it goes where it belongs now.
    fn one_line(&mut self, with: &Handle, conversation: Option<Conversation>) {
        let is_it = |it: &Conversation| it.contact.handle.as_ref() == Some(with);
        self.conversations.retain(|it| !is_it(it));
        let Some(conversation) = conversation else { return };
        let place =
            |it: &Conversation| (it.contact.arrangement.pinned, it.last.as_ref().map_or(i64::MIN, |last| last.seq));
        let at = self.conversations.partition_point(|it| place(it) > place(&conversation));
        self.conversations.insert(at, conversation);
    }
}
