//! How people look: by the picture that they show, and by a pattern of their handle where there is none or it is not unpacked yet.

use endtoend_client::database::{Contact, Conversation};
use endtoend_client::handle::Handle;
use endtoend_client::nickname::Nickname;
use iced::Element;
use iced::widget::{image, sensor};

use super::shelf::Shelf;
use super::{Home, Message};
use crate::action::Action;
use crate::failure::Failure;
use crate::identicon::identicon;
use crate::order::{FaceRef, Order, OwnFace};
use crate::picture::{Drawn, Scale};

/// Pictures of people that are in memory: about 40 kB each, and 120 kB for the few that are large. More are not seen at once.
const FACES_MAX: usize = 96;
/// Larger than this, in logical pixels, a picture is unpacked as large as it gets.
const SMALL_MAX: u16 = 48;

/// Pictures of people. `None` for what cannot be drawn.
pub(super) type Faces = Shelf<FaceRef, Option<Drawn>>;

pub(super) const fn faces() -> Faces {
    Shelf::new(FACES_MAX)
}

const fn scale(size: u16) -> Scale {
    if size <= SMALL_MAX { Scale::Small } else { Scale::Large }
}

fn drawn<'a>(picture: &Drawn, size: u16) -> Element<'a, Message> {
    image(picture.handle.clone()).width(u32::from(size)).height(u32::from(size)).into()
}

impl Home {
    /// How somebody looks whom a conversation is with, in a box of so many logical pixels. `name` is for who has none here.
    pub(super) fn avatar<'a>(&self, known: Option<&Conversation>, name: &str, size: u16) -> Element<'a, Message> {
        let handle = known.and_then(|known| known.contact.handle.as_ref());
        let pattern = || identicon(handle.map_or(name, Handle::as_str), size);
        let Some(of) = known.and_then(|known| face_of(&known.contact, scale(size))) else { return pattern() };
        let small = FaceRef { scale: Scale::Small, ..of.clone() };
        let shown = match self.faces.get(&of).or_else(|| self.faces.get(&small)) {
            Some(Some(picture)) => drawn(picture, size),
            Some(None) | None => pattern(),
        };
        sensor(shown).key(of.clone()).on_show(move |_| Message::FaceSeen(of.clone())).into()
    }

    /// How this account looks to others.
    pub(super) fn own_avatar<'a>(&self, size: u16) -> Element<'a, Message> {
        let own = self.own.as_ref().and_then(|own| own.picture(scale(size)));
        own.map_or_else(|| identicon(self.me.handle.as_str(), size), |picture| drawn(picture, size))
    }

    /// What this account calls itself.
    pub(super) fn own_name(&self) -> &str {
        let name = self.own.as_ref().and_then(|own| own.name.as_ref());
        name.map_or(self.me.handle.as_str(), Nickname::as_str)
    }

    /// A picture is before the eyes: it is unpacked, unless it is here.
    pub(super) fn face_seen(&mut self, of: FaceRef) -> Vec<Action> {
        self.faces.want(of).map(|of| Action::Order(Order::Face(of))).into_iter().collect()
    }

    /// A picture was unpacked, or could not be.
    pub(super) fn face_came(&mut self, of: FaceRef, picture: Option<Drawn>) -> Vec<Action> {
        self.faces.came(of, picture).map(|of| Action::Order(Order::Face(of))).into_iter().collect()
    }

    /// How this account shows itself is known.
    pub(super) fn own_face_came(&mut self, own: Result<Box<OwnFace>, Failure>) {
        match own {
            Ok(own) => self.own = Some(*own),
            Err(failure) => self.failure = Some(failure),
        }
    }
}

/// The picture that somebody shows.
fn face_of(contact: &Contact, scale: Scale) -> Option<FaceRef> {
    Some(FaceRef { of: contact.handle.clone()?, hash: contact.portrait?, scale })
}
