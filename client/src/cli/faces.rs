//! Commands about how people show themselves, and about people who are passed on inside a conversation.

use std::io::Write as _;
use std::path::Path;

use endtoend_client::card::Card;
use endtoend_client::database::Body;
use endtoend_client::face::{Face, Portrait};
use endtoend_client::handle::Handle;
use endtoend_client::nickname::Nickname;
use endtoend_protocol::MessageId;
use serde_json::json;

use crate::args::{self, Arguments};
use crate::failure::{Failure, Kind};
use crate::opening::{open, stop};
use crate::outcome::done;
use crate::sending::settled;
use crate::waiting::Waiting;
use crate::{messages, people};

pub(crate) async fn card(arguments: &Arguments, what: &args::Card) -> Result<(), Failure> {
    match what {
        args::Card { to: Some(to), of: Some(of), name, reply_to, .. } => {
            pass_on(arguments, to, of, name.clone(), *reply_to).await
        }
        args::Card { with: Some(with), accept: Some(message), .. } => accept(arguments, with, *message).await,
        args::Card { .. } => Err(Failure::new(Kind::Usage, "card needs --to and --of, or --with and --accept")),
    }
}

async fn pass_on(
    arguments: &Arguments,
    to: &Handle,
    of: &Handle,
    name: Option<Nickname>,
    reply_to: Option<MessageId>,
) -> Result<(), Failure> {
    let engine = open(arguments, true)?;
    let sent = async {
        let mut waiting = Waiting::new(&engine, Some(arguments.timeout()))?;
        let handle = engine.handle();
        let link = handle.link_of(of.clone()).await?;
        let id = handle.send_card(to.clone(), Card { link, name }, reply_to).await?;
        settled(&handle, &mut waiting, id, to).await?;
        Ok(handle.find(id).await?)
    }
    .await;
    if let Some(message) = stop(engine, sent).await? {
        done(arguments, &messages::sent_object(&message), &format!("{} {}", message.state.as_str(), message.id))?;
    }
    Ok(())
}

/// As with any link that came through somebody else's hands: the identity in it is trusted, and nobody has compared it.
async fn accept(arguments: &Arguments, with: &Handle, message: MessageId) -> Result<(), Failure> {
    let engine = open(arguments, true)?;
    let accepted = async {
        let mut waiting = Waiting::new(&engine, Some(arguments.timeout()))?;
        let handle = engine.handle();
        let Some(Body::Card(card)) = handle.message(with.clone(), message).await?.map(|message| message.body) else {
            return Err(Failure::new(Kind::Failed, "there is no such message that passes somebody on"));
        };
        let verification = waiting.during(handle.add_contact(card.link.clone(), false)).await??;
        people::told(&handle, &mut waiting, &card.link.handle).await?;
        Ok(verification)
    }
    .await;
    let verification = stop(engine, accepted).await?;
    let object = json!({
        "event": "added", "with": verification.with.as_str(), "safety_number": verification.safety_number,
        "peer_identity": hex::encode(verification.peer_identity), "verified": verification.verified,
    });
    done(arguments, &object, &format!("{} is accepted", verification.with))
}

pub(crate) async fn face(arguments: &Arguments, what: &args::Face) -> Result<(), Failure> {
    let name: Option<Option<Nickname>> = what
        .name
        .as_ref()
        .map(|name| match name.is_empty() {
            true => Ok(None),
            false => name.parse().map(Some).map_err(|error| Failure::new(Kind::Usage, format!("{error}"))),
        })
        .transpose()?;
    // Before the profile is opened: a bad picture must not cost a key derivation.
    let picture = what.picture.as_deref().map(Portrait::from_file).transpose()?;
    let engine = open(arguments, false)?;
    let shown = async {
        let handle = engine.handle();
        let mut face = handle.face(what.of.clone()).await?;
        if name.is_some() || picture.is_some() || what.no_picture {
            face.name = name.unwrap_or(face.name);
            if picture.is_some() || what.no_picture {
                face.portrait = picture;
            }
            handle.set_face(face.clone()).await?;
        }
        Ok::<_, Failure>(face)
    }
    .await;
    let Face { name, portrait } = stop(engine, shown).await?;
    if let Some(path) = &what.save {
        let portrait = portrait.as_ref().ok_or_else(|| Failure::new(Kind::Failed, "there is no picture"))?;
        save(path, portrait)?;
    }
    let of = what.of.as_ref().map(Handle::as_str);
    let name = name.as_ref().map(Nickname::as_str);
    let hash = portrait.as_ref().map(|portrait| hex::encode(portrait.hash()));
    let bytes = portrait.as_ref().map(|portrait| portrait.as_bytes().len());
    let object = json!({ "event": "face", "of": of, "name": name, "portrait": hash, "portrait_bytes": bytes });
    let picture = bytes.map_or_else(|| "no picture".to_owned(), |bytes| format!("a picture of {bytes} bytes"));
    done(arguments, &object, &format!("{}, {picture}", name.unwrap_or("no name")))
}

fn save(path: &Path, portrait: &Portrait) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(portrait.as_bytes())?)
}
