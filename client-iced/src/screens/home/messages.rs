//! Everything that can happen in the main window, by a person's hand.

use endtoend_client::contact_link::ContactLink;
use endtoend_client::database::{MessageRef, Standing};
use endtoend_client::handle::Handle;
use endtoend_protocol::{Arrangement, Emoji, Lifetime, UnixMillis};
use iced::widget::text_editor;

use super::list::Step;
use super::palette::Item;
use super::picker::Purpose;
use super::settings;
use crate::action::Place;
use crate::order::FaceRef;
use crate::preferences::Preferences;
use crate::said::Link;

/// What happened.
#[derive(Clone, Debug)]
pub enum Message {
    /// Another filter.
    Filtered(String),
    /// The first conversation that the filter leaves.
    OpenFirst,
    /// The list was scrolled.
    ListScrolled(Place),
    /// Keys go on in the list.
    ListStep(Step),
    /// A conversation.
    Open(Handle),
    /// A message that was found.
    OpenAt(Handle, MessageRef),
    /// The list instead of the conversation.
    CloseChat,
    /// Somebody to write to.
    NewChat,
    /// Who.
    NewChatEdited(String),
    /// That is who.
    NewChatDone,
    /// Nobody.
    NewChatClosed,
    /// The person of a link that somebody has passed on.
    WriteTo(Box<ContactLink>),
    /// In the open conversation.
    Chat(ChatMessage),
    /// Files are to be sent, or not after all.
    Attach(bool),
    /// They are to be chosen in the system's window.
    ChooseFiles,
    /// This one is not to be sent.
    FileRemoved(usize),
    /// What is in the clipboard, if it is a picture.
    Paste,
    /// Where one more lies.
    FileEdited(String),
    /// Those.
    FileDone,
    /// The open conversation is to go: asks once more.
    Remove,
    /// With the contact, or without.
    RemoveContactToo(bool),
    /// It is meant.
    RemovalDone,
    /// How it stands with the network.
    ShowNetwork,
    /// A picture of somebody is before the eyes.
    FaceSeen(FaceRef),
    /// No picture alone any more.
    ClosePicture,
    /// The picture after the one that is shown alone, or before it.
    NextPicture(bool),
    /// An emoji is looked for, for that; again, and none is.
    Pick(Option<Purpose>),
    /// By these words.
    PickerEdited(String),
    /// This one.
    Picked(&'static str),
    /// Anything is looked for, or nothing any more.
    Palette(bool),
    /// By these words.
    PaletteEdited(String),
    /// That.
    PaletteDone(Item),
    /// The keys are listed, or not any more.
    Sheet(bool),
    /// A day is looked for.
    Day,
    /// This one.
    DayEdited(String),
    /// When it begins.
    DayDone(UnixMillis),
    /// A link was pressed.
    Link(Link),
    /// It is to be opened.
    LinkDone,
    /// Something was marked among words that can be copied.
    WordsEdited(text_editor::Action),
    /// What was spoken is to be played by another program.
    PlayDone,
    /// Nothing is asked any more.
    NotAsked,
    /// The panel about a person.
    Panel(bool),
    /// This account's code, to be scanned; again, and it is not shown any more.
    ShowCode,
    /// A code is in a picture, which is to be chosen.
    ReadCode,
    /// The new identity is trusted.
    AcceptIdentity,
    /// This identity was compared; with `None` none was.
    MarkVerified(Option<[u8; 33]>),
    /// Accept, ignore, block, or take that back.
    Decide(Standing),
    /// Another name for somebody is being typed.
    NameEdited(String),
    /// That is it; with nothing typed it is the handle again.
    NameDone,
    /// The conversation is kept above the others, or nobody is told of its messages; or not any more.
    Arrange(Arrangement),
    /// How long messages live from now on.
    SetTimer(Option<Lifetime>),
    /// The settings, or back.
    Settings(bool),
    /// Other preferences.
    Prefer(Preferences),
    /// In the settings.
    Setting(settings::Message),
    /// What was told was read.
    Dismiss,
    /// Into the clipboard.
    Copy(String),
    /// The same, and it does not stay there.
    CopySecret(String),
}

/// What happened in the open conversation.
#[derive(Clone, Debug)]
pub enum ChatMessage {
    /// Something was typed.
    Edited(text_editor::Action),
    /// This emoji, in place of the name that is being typed.
    Named(&'static str),
    /// The next of so many that are called so, or the one before.
    NextName(bool, usize),
    /// It is to be said.
    Send,
    /// The messages were scrolled.
    Scrolled(Place),
    /// The end, please.
    ShowEnd,
    /// A picture is before the eyes.
    PictureSeen(MessageRef),
    /// It is to be shown alone.
    OpenPicture(MessageRef),
    /// The first message that was not read when the conversation was opened.
    ToUnread,
    /// A part of its words is to be copied.
    Words(MessageRef),
    /// A message was chosen, or not any more.
    Choose(Option<MessageRef>),
    /// Show that message.
    GoTo(MessageRef),
    /// It is to be answered.
    Answer(MessageRef),
    /// It is to have other words.
    Edit(MessageRef),
    /// No answer, no other words.
    StopMark,
    /// A reaction; again, and it is taken back.
    React(MessageRef, Emoji),
    /// Gone, here or for everyone.
    Delete(MessageRef, bool),
    /// Its words, into the clipboard.
    CopyText(MessageRef),
    /// Refused before, once more.
    Retry(MessageRef),
    /// The file of that message: fetch it, or try again.
    Fetch(MessageRef),
    /// No further with it.
    StopFile(MessageRef),
    /// What was spoken in that message is to be heard.
    Play(MessageRef),
    /// Out of the profile.
    Save(MessageRef),
}
