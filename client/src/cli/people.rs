//! Commands about the people that an account knows: who they are, what is decided about them, how they are passed on.

use endtoend_client::contact_link::ContactLink;
use endtoend_client::database::{Contact, PeerDevice, Standing};
use endtoend_client::engine::{EngineHandle, Verification, VerifyError};
use endtoend_client::handle::Handle;
use endtoend_client::nickname::Nickname;
use endtoend_protocol::UnixMillis;
use serde_json::{Value, json};

use crate::args::{Arguments, Contacts, Verify};
use crate::failure::{Failure, IDENTITY, Kind};
use crate::opening::{open, stop};
use crate::outcome::done;
use crate::waiting::{News, Waiting};
use crate::{output, qr};

pub(crate) async fn contacts(arguments: &Arguments, what: &Contacts) -> Result<(), Failure> {
    match what {
        Contacts { accept: Some(handle), .. } => return decide(arguments, handle, Standing::Accepted).await,
        Contacts { ignore: Some(handle), .. } => return decide(arguments, handle, Standing::Ignored).await,
        Contacts { add: Some(link), compared, .. } => return add(arguments, link, *compared).await,
        Contacts { own_link: true, .. } => return own_link(arguments).await,
        Contacts { devices: Some(handle), .. } => return devices(arguments, handle).await,
        Contacts { nickname, .. } if !nickname.is_empty() => return self::nickname(arguments, nickname).await,
        Contacts { .. } => {}
    }
    let engine = open(arguments, false)?;
    let listed = engine.handle().contacts().await.map_err(Failure::from);
    for contact in stop(engine, listed).await? {
        if !what.requests || contact.standing == Standing::Request {
            done(arguments, &contact_object(&contact), &contact_line(&contact))?;
        }
    }
    Ok(())
}

/// Prints how this account is passed on, for a terminal also as a QR code.
async fn own_link(arguments: &Arguments) -> Result<(), Failure> {
    let engine = open(arguments, false)?;
    let link = engine.handle().own_link().await.map_err(Failure::from);
    let link = stop(engine, link).await?;
    let text = link.to_string();
    if arguments.json {
        output::json_line(&json!({
            "event": "link", "link": text, "handle": link.handle.as_str(), "server": link.server.to_string(),
            "identity": hex::encode(link.identity),
        }))?;
        return Ok(());
    }
    if let Some(code) = qr::text(&text) {
        output::line(&code)?;
    }
    output::line(&text)?;
    Ok(())
}

async fn add(arguments: &Arguments, link: &ContactLink, compared: bool) -> Result<(), Failure> {
    let engine = open(arguments, true)?;
    let added = async {
        let mut waiting = Waiting::new(&engine, Some(arguments.patience(&engine)))?;
        let handle = engine.handle();
        let verification = waiting.during(handle.add_contact(link.clone(), compared)).await??;
        told(&handle, &mut waiting, &link.handle).await?;
        Ok(verification)
    }
    .await;
    let Verification { safety_number, peer_identity, verified, .. } = stop(engine, added).await?;
    let object = json!({
        "event": "added", "with": link.handle.as_str(), "safety_number": safety_number,
        "peer_identity": hex::encode(peer_identity), "verified": verified,
    });
    let mark = if verified { ", verified" } else { "" };
    done(arguments, &object, &format!("{} is accepted{mark}", link.handle))
}

async fn nickname(arguments: &Arguments, words: &[String]) -> Result<(), Failure> {
    let usage = |text: String| Failure::new(Kind::Usage, text);
    let [of, name] = words else { return Err(usage("--nickname needs a handle and a name".to_owned())) };
    let of: Handle = of.parse().map_err(|error| usage(format!("{of}: {error}")))?;
    let nickname: Option<Nickname> = match name.is_empty() {
        true => None,
        false => Some(name.parse().map_err(|error| usage(format!("{error}")))?),
    };
    let engine = open(arguments, false)?;
    let named = engine.handle().set_nickname(of.clone(), nickname.clone()).await.map_err(Failure::from);
    stop(engine, named).await?;
    let shown = nickname.as_ref().map(Nickname::as_str);
    let object = json!({ "event": "nickname", "with": of.as_str(), "nickname": shown });
    done(arguments, &object, &format!("{of} is called {} here", shown.unwrap_or(of.as_str())))
}

async fn devices(arguments: &Arguments, of: &Handle) -> Result<(), Failure> {
    let engine = open(arguments, false)?;
    let devices = engine.handle().devices_of(of.clone()).await.map_err(Failure::from);
    for PeerDevice { device, seen_at, compared } in stop(engine, devices).await? {
        let object = json!({
            "event": "contact_device", "with": of.as_str(), "device": device.get(),
            "seen_at_ms": seen_at.map(UnixMillis::get), "compared": compared,
        });
        let since = seen_at.map_or_else(String::new, |at| format!(", known since {}", output::time(at)));
        let compared = if compared { ", was there when the identity was compared" } else { "" };
        done(arguments, &object, &format!("device {device}{since}{compared}"))?;
    }
    Ok(())
}

pub(crate) fn name(contact: &Contact) -> String {
    contact.handle.as_ref().map_or_else(|| format!("#{}", hex::encode(contact.tag.as_bytes())), Handle::to_string)
}

fn contact_object(contact: &Contact) -> Value {
    json!({
        "event": "contact", "with": name(contact), "standing": contact.standing.as_str(),
        "identity_changed": contact.changed_identity.is_some(), "verified": contact.verified,
        "nickname": contact.nickname.as_ref().map(Nickname::as_str),
        "face_name": contact.face_name.as_ref().map(Nickname::as_str), "portrait": contact.portrait.map(hex::encode),
    })
}

fn contact_line(contact: &Contact) -> String {
    let changed = if contact.changed_identity.is_some() { ", identity has changed" } else { "" };
    let verified = if contact.verified { ", verified" } else { "" };
    let shown = called(contact);
    format!("{}{shown} ({}{verified}{changed})", name(contact), contact.standing.as_str())
}

/// What somebody is called beside his handle, in quotes.
pub(crate) fn called(contact: &Contact) -> String {
    contact.name().map_or_else(String::new, |name| format!(" \u{201c}{}\u{201d}", name.as_str()))
}

pub(crate) async fn block(arguments: &Arguments, with: &Handle, undo: bool) -> Result<(), Failure> {
    decide(arguments, with, if undo { Standing::Accepted } else { Standing::Blocked }).await
}

/// Decides, and waits until the server has heard of it: a block that only this device knows keeps nobody away.
async fn decide(arguments: &Arguments, about: &Handle, standing: Standing) -> Result<(), Failure> {
    let engine = open(arguments, true)?;
    let decided = async {
        let mut waiting = Waiting::new(&engine, Some(arguments.patience(&engine)))?;
        waiting.during(engine.handle().decide(about.clone(), standing)).await??;
        told(&engine.handle(), &mut waiting, about).await
    }
    .await;
    stop(engine, decided).await?;
    let text = format!("{about} is {}", standing.as_str());
    done(arguments, &json!({ "event": "decided", "with": about.as_str(), "standing": standing.as_str() }), &text)
}

/// Waits until the server has heard what was decided about somebody.
pub(crate) async fn told(engine: &EngineHandle, waiting: &mut Waiting, about: &Handle) -> Result<(), Failure> {
    loop {
        let contacts = engine.contacts().await?;
        if contacts.iter().any(|contact| contact.handle.as_ref() == Some(about) && contact.told) {
            return Ok(());
        }
        waiting.check_connection()?;
        match waiting.next().await {
            News::Event(_) => {}
            News::TimedOut => return Err(waiting.timed_out()),
            News::Interrupted => {
                return Err(Failure::new(Kind::Failed, "interrupted; the server hears of it later"));
            }
        }
    }
}

/// Whether what the other side has read out or shown is our safety number.
fn is_same(theirs: &str, ours: &str) -> bool {
    theirs.chars().filter(|c| !c.is_whitespace()).eq(ours.chars())
}

pub(crate) async fn verify(arguments: &Arguments, what: &Verify) -> Result<(), Failure> {
    let Verify { with, accept, number, mark, unmark } = what;
    let engine = open(arguments, !accept && !unmark)?;
    let done = async {
        let mut waiting = Waiting::new(&engine, Some(arguments.patience(&engine)))?;
        let handle = engine.handle();
        let mut verification = match (accept, unmark) {
            (true, _) => handle.accept_identity(with.clone()).await?,
            (_, true) => handle.mark_verified(with.clone(), None).await?,
            (false, false) => identity(&handle, &mut waiting, with).await?,
        };
        let differs = number.as_ref().is_some_and(|theirs| !is_same(theirs, &verification.safety_number));
        if (number.is_some() && !differs) || *mark {
            verification = handle.mark_verified(with.clone(), Some(verification.peer_identity)).await?;
        }
        show(arguments, &verification, *accept)?;
        match differs {
            true => Err(Failure::new(Kind::Failed, "the safety numbers differ: nothing was marked").hint(IDENTITY)),
            false => Ok(()),
        }
    }
    .await;
    stop(engine, done).await
}

/// Asks for somebody's identity, of the server if need be, within the command's time.
async fn identity(engine: &EngineHandle, waiting: &mut Waiting, with: &Handle) -> Result<Verification, Failure> {
    let mut question = std::pin::pin!(engine.verify(with.clone()));
    loop {
        waiting.check_connection()?;
        tokio::select! {
            biased;
            answer = &mut question => return answer.map_err(|error: VerifyError| error.into()),
            news = waiting.next() => match news {
                News::Event(_) => {}
                News::TimedOut => return Err(waiting.timed_out()),
                News::Interrupted => return Err(Failure::new(Kind::Failed, "interrupted")),
            }
        }
    }
}

fn show(arguments: &Arguments, verification: &Verification, accepted: bool) -> Result<(), Failure> {
    let Verification { with, safety_number, own_identity, peer_identity, changed, verified } = verification;
    if arguments.json {
        output::json_line(&json!({
            "event": "verify", "with": with.as_str(), "safety_number": safety_number,
            "own_identity": hex::encode(own_identity), "peer_identity": hex::encode(peer_identity),
            "changed": changed, "accepted": accepted, "verified": verified,
        }))?;
        return Ok(());
    }
    output::line(&format!("safety number with {with}:"))?;
    output::line(&format!("  {}", grouped(safety_number)))?;
    match (changed, accepted, verified) {
        (true, ..) => output::line(&format!("the identity of {with} has changed: {IDENTITY}"))?,
        (false, _, true) => output::line("it was compared: this is a verified contact")?,
        (false, true, false) => output::line("the new identity is trusted from now on")?,
        (false, false, false) => output::line(
            "if it is the same on the other side, nobody sits between you; `--mark` remembers that you have compared it",
        )?,
    }
    Ok(())
}

/// Groups of five digits, as people read them to each other.
fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % 5 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_same_however_it_is_grouped() {
        assert!(is_same("12345 67890\n", "1234567890"));
        for other in ["12345 67891", "12345", "1234567890 1", ""] {
            assert!(!is_same(other, "1234567890"), "{other}");
        }
        assert_eq!(grouped("1234567890"), "12345 67890");
    }
}
