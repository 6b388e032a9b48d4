//! How this account shows itself: a name and a picture of its choice.

use endtoend_client::face::Cut;
use endtoend_client::nickname::{NICKNAME_BYTES_MAX, Nickname};
use iced::widget::{Column, column, container, image, row, space, text};
use iced::{Center, Element, Fill};

use super::parts::card;
use super::{Message as M, SettingsPage};
use crate::action::Action;
use crate::failure::Failure;
use crate::focus::{self, button};
use crate::identicon::identicon;
use crate::order::{FaceChange, FaceSource, Order, OwnFace, PictureChange};
use crate::picture::{self, Drawn};
use crate::screens::home::{Home, Message as Above};
use crate::strings::Strings;
use crate::theme::{size, styles};
use crate::ui::{self, id};

/// Of the picture as others see it, in logical pixels.
const SEEN: u16 = 88;

/// What happened.
#[derive(Clone, Debug)]
pub enum Message {
    /// Of the name.
    NameEdited(String),
    /// A picture is to be chosen in the system's window.
    Choose,
    /// None is shown.
    Remove,
    /// Another square of the one that was chosen.
    Cut(Cut),
    /// Others are to see it so.
    Save,
    /// As it was.
    Discard,
}

/// What is otherwise and not told to anybody yet.
#[derive(Debug, Default)]
pub(super) struct FaceForm {
    /// As it is typed; `None` while nothing is.
    name: Option<String>,
    picture: PictureChange,
    /// The square of it that others would see.
    seen: Option<Drawn>,
    /// The system's window is open.
    choosing: bool,
    /// It is being told.
    busy: bool,
    failure: Option<Failure>,
}

impl FaceForm {
    pub(super) fn update(&mut self, message: Message) -> Vec<Action> {
        self.failure = None;
        match message {
            Message::NameEdited(typed) => {
                if typed.len() <= NICKNAME_BYTES_MAX {
                    self.name = Some(typed);
                }
            }
            Message::Choose => {
                let asks = !std::mem::replace(&mut self.choosing, true);
                return asks.then_some(Action::Order(Order::FaceSource(None))).into_iter().collect();
            }
            Message::Remove => self.picture = PictureChange::Remove,
            Message::Cut(cut) => {
                if let PictureChange::New(source, before) = &mut self.picture {
                    (*before, self.seen) = (cut, picture::cut_face(&source.drawn, cut));
                }
            }
            Message::Save if self.busy => {}
            Message::Save => match self.name() {
                Ok(name) => {
                    self.busy = true;
                    return vec![Action::Order(Order::SetFace(FaceChange { name, picture: self.picture.clone() }))];
                }
                Err(failure) => self.failure = Some(failure),
            },
            Message::Discard if self.busy => {}
            Message::Discard => (self.name, self.picture) = (None, PictureChange::None),
        }
        Vec::new()
    }

    /// Another name, if one was typed; with `Some(None)` none.
    fn name(&self) -> Result<Option<Option<Nickname>>, Failure> {
        match &self.name {
            None => Ok(None),
            Some(typed) if typed.trim().is_empty() => Ok(Some(None)),
            Some(typed) => typed.parse().map(|name| Some(Some(name))).map_err(|_| Failure::new("nickname-bad")),
        }
    }

    pub(super) fn source_came(&mut self, source: Result<Option<FaceSource>, Failure>) {
        self.choosing = false;
        match source {
            Ok(Some(source)) => {
                let cut = Cut::default();
                self.seen = picture::cut_face(&source.drawn, cut);
                self.picture = PictureChange::New(source, cut);
            }
            Ok(None) => {}
            Err(failure) => self.failure = Some(failure),
        }
    }

    pub(super) fn was_set(&mut self, set: Result<(), Failure>) {
        match set {
            Ok(()) => *self = Self::default(),
            Err(failure) => (self.busy, self.failure) = (false, Some(failure)),
        }
    }

    /// What the field of the name shows.
    fn typed<'a>(&'a self, own: Option<&'a OwnFace>) -> &'a str {
        let now = own.and_then(|own| own.name.as_ref()).map(Nickname::as_str).unwrap_or_default();
        self.name.as_deref().unwrap_or(now)
    }

    /// Whether others would see something else than they do.
    fn is_changed(&self, own: Option<&OwnFace>) -> bool {
        let now = own.and_then(|own| own.name.as_ref()).map(Nickname::as_str).unwrap_or_default();
        self.picture != PictureChange::None || self.name.as_deref().is_some_and(|typed| typed.trim() != now)
    }
}

const fn on(message: Message) -> Above {
    Above::Setting(M::Face(message))
}

impl Home {
    /// What others see of this account, and how that is chosen.
    pub(super) fn face<'a>(&'a self, t: &'a Strings, page: &'a SettingsPage) -> Element<'a, Above> {
        let form = &page.face;
        let own = self.own.as_ref();
        let typed = form.typed(own);
        let name = ui::field(
            t.get("face-name"),
            id::FACE_NAME,
            self.me.handle.as_str(),
            typed,
            |typed| on(Message::NameEdited(typed)),
            on(Message::Save),
        );
        let has = match form.picture {
            PictureChange::None => own.is_some_and(|own| own.pictures.is_some()),
            PictureChange::Remove => false,
            PictureChange::New(..) => true,
        };
        let press = |key: &'static str, message: Option<Message>| {
            let words = text(t.get(key)).size(size::NOTE);
            button(words).padding([6, 12]).style(styles::quiet).on_press_maybe(message.map(on))
        };
        let choose = press("face-choose", (!form.choosing).then_some(Message::Choose));
        let pressed = row![choose].push(has.then(|| press("face-remove", Some(Message::Remove)))).spacing(8);
        let cut = match &form.picture {
            PictureChange::New(source, cut) => Some(cutting(t, source, *cut)),
            PictureChange::None | PictureChange::Remove => None,
        };
        let foot = (form.is_changed(own) || form.busy).then(|| {
            let save = ui::primary(t.get("face-save"), (!form.busy).then_some(on(Message::Save)));
            ui::foot(ui::quiet(t.get("discard"), on(Message::Discard)), save)
        });
        let content = column![self.seen(t, form, typed), ui::note(t.get("face-note")), name, pressed]
            .push(cut)
            .push(ui::failure(t, form.failure.as_ref()))
            .push(foot);
        card(t.get("face"), content)
    }

    /// As others would see it.
    fn seen<'a>(&'a self, t: &'a Strings, form: &'a FaceForm, typed: &'a str) -> Element<'a, Above> {
        let handle = self.me.handle.as_str();
        let picture = match &form.picture {
            PictureChange::None => self.own_avatar(SEEN),
            PictureChange::Remove => identicon(handle, SEEN),
            PictureChange::New(..) => match &form.seen {
                Some(seen) => image(seen.handle.clone()).width(u32::from(SEEN)).height(u32::from(SEEN)).into(),
                None => identicon(handle, SEEN),
            },
        };
        let name = typed.trim();
        let shown = if name.is_empty() { handle } else { name };
        let below = match name.is_empty() {
            true => t.get("face-no-name"),
            false => handle.to_owned(),
        };
        let words = column![ui::head(shown), ui::note(below)].spacing(4);
        let row = row![picture, words.width(Fill)].spacing(16).align_y(Center);
        container(row).padding(14).width(Fill).style(styles::boxed).into()
    }
}

/// Which square of the picture is shown.
fn cutting<'a>(t: &Strings, source: &FaceSource, cut: Cut) -> Element<'a, Above> {
    let (_, _, side) = cut.square(source.drawn.width, source.drawn.height);
    let line =
        |key: &'static str, range: std::ops::RangeInclusive<u16>, now: u16, cut: fn(Cut, u16) -> Cut, from: Cut| {
            let bar = focus::slider(range, now, move |value| on(Message::Cut(cut(from, value))));
            row![ui::note(t.get(key)).width(140), bar].spacing(12).align_y(Center)
        };
    let nearer = line("face-cut-side", Cut::SIDE_MIN..=Cut::WHOLE, cut.side, |cut, side| Cut { side, ..cut }, cut);
    let across = (source.drawn.width > side)
        .then(|| line("face-cut-left", 0..=Cut::WHOLE, cut.left, |cut, left| Cut { left, ..cut }, cut));
    let down = (source.drawn.height > side)
        .then(|| line("face-cut-top", 0..=Cut::WHOLE, cut.top, |cut, top| Cut { top, ..cut }, cut));
    Column::new().push(nearer).push(across).push(down).push(space().height(2)).spacing(10).into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use iced::widget::image::Handle as Pixels;

    use super::*;

    fn source() -> FaceSource {
        let drawn = Drawn { handle: Pixels::from_rgba(2, 1, vec![0; 8]), width: 2, height: 1 };
        FaceSource { bytes: Arc::new(vec![1, 2, 3]), drawn }
    }

    fn set(actions: &[Action]) -> Option<&FaceChange> {
        match actions {
            [Action::Order(Order::SetFace(change))] => Some(change),
            _ => None,
        }
    }

    #[test]
    fn what_was_changed_is_told_and_nothing_else() {
        let mut form = FaceForm::default();
        assert!(!form.is_changed(None));
        form.update(Message::NameEdited("Alice of the harbour".to_owned()));
        let actions = form.update(Message::Save);
        let change = set(&actions).unwrap();
        assert_eq!(change.name.as_ref().unwrap().as_ref().unwrap().as_str(), "Alice of the harbour");
        assert_eq!(change.picture, PictureChange::None);
        assert!(form.update(Message::Save).is_empty(), "one at a time");
        form.was_set(Ok(()));
        assert!(!form.is_changed(None));
        form.update(Message::NameEdited("  ".to_owned()));
        assert_eq!(set(&form.update(Message::Save)).unwrap().name, Some(None), "no name any more");
    }

    #[test]
    fn a_picture_is_cut_as_it_was_shown_and_can_be_left() {
        let mut form = FaceForm::default();
        assert!(matches!(form.update(Message::Choose).as_slice(), [Action::Order(Order::FaceSource(None))]));
        assert!(form.update(Message::Choose).is_empty(), "one window");
        let source = source();
        form.source_came(Ok(Some(source.clone())));
        let cut = Cut { side: 400, left: 0, top: 900 };
        form.update(Message::Cut(cut));
        let actions = form.update(Message::Save);
        assert_eq!(set(&actions).unwrap().picture, PictureChange::New(source, cut));
        form.was_set(Err(Failure::new("portrait-bad")));
        assert_eq!(form.failure.as_ref().unwrap().key, "portrait-bad");
        assert!(form.is_changed(None), "it can be tried again");
        form.update(Message::Discard);
        assert!(!form.is_changed(None));
        form.update(Message::Remove);
        assert_eq!(set(&form.update(Message::Save)).unwrap().picture, PictureChange::Remove);
    }

    #[test]
    fn a_name_that_steers_is_not_told() {
        let mut form = FaceForm::default();
        form.update(Message::NameEdited("a\u{202e}b".to_owned()));
        assert!(form.update(Message::Save).is_empty());
        assert_eq!(form.failure.as_ref().unwrap().key, "nickname-bad");
        let long = "x".repeat(NICKNAME_BYTES_MAX + 1);
        form.update(Message::NameEdited(long));
        assert_eq!(form.typed(None), "a\u{202e}b", "a field has a bound");
    }
}
