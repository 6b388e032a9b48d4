//! What stands in a conversation: messages, and between them notices about those that did not come.

use std::io;

use endtoend_client::database::{Notice, NoticeKind, Page, StoredMessage};
use endtoend_client::engine::EngineHandle;
use endtoend_client::handle::Handle;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::messages;
use crate::output;

/// Messages and notices taken from the database at a time.
const PAGE: u32 = 64;

/// One of both.
pub(crate) enum Line<'a> {
    /// What somebody has said.
    Message(&'a StoredMessage),
    /// What is missing, or otherwise than it should be.
    Notice(&'a Notice),
}

impl Line<'_> {
    /// For people.
    pub(crate) fn spoken(&self) -> String {
        match self {
            Self::Message(message) => messages::spoken(message),
            Self::Notice(notice) => spoken(notice),
        }
    }

    /// As `listen --json` and `chat --json` print it.
    pub(crate) fn received_object(&self) -> Value {
        match self {
            Self::Message(message) => messages::received_object(message),
            Self::Notice(notice) => object(notice),
        }
    }

    /// As `history --json` prints it.
    pub(crate) fn history_object(&self) -> Value {
        match self {
            Self::Message(message) => messages::history_object(message),
            Self::Notice(notice) => object(notice),
        }
    }
}

/// Prints what nobody has seen, at most `left` messages, each once: it counts as seen when it was written out.
pub(crate) async fn show_unread(
    engine: &EngineHandle,
    from: Option<&Handle>,
    mut left: u64,
    print: &dyn Fn(&Line<'_>) -> io::Result<()>,
) -> Result<u64, Failure> {
    while left > 0 {
        let page = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let messages = engine.unread(from.cloned(), page).await?;
        let notices = engine.unseen_notices(from.cloned(), PAGE).await?;
        if messages.is_empty() && notices.is_empty() {
            break;
        }
        // Those after the last message wait when more messages may come before them.
        let lines = merged(&messages, &notices, messages.len() < page as usize);
        let (mut shown, mut seen) = (Vec::new(), Vec::new());
        let mut written = Ok(());
        for line in lines {
            written = print(&line);
            match line {
                _ if written.is_err() => break,
                Line::Message(message) => shown.push(message.seq),
                Line::Notice(notice) => seen.push(notice.seq),
            }
        }
        left = left.saturating_sub(shown.len() as u64);
        engine.mark_shown(shown).await?;
        engine.mark_notices_shown(seen).await?;
        written?;
    }
    Ok(left)
}

/// A page of messages with somebody and the notices among them, oldest first.
pub(crate) async fn history(
    engine: &EngineHandle,
    with: &Handle,
    page: Page,
    limit: u32,
) -> Result<(Vec<StoredMessage>, Vec<Notice>), Failure> {
    let messages = engine.history_page(with.clone(), page, limit).await?;
    // With all messages there are, all notices; else those since the first message that is shown.
    let first = messages.first().filter(|_| messages.len() >= limit as usize).map_or(0, |message| message.seq);
    let mut notices = engine.notices(with.clone(), first).await?;
    if page != Page::Last {
        // Those of another page are shown there.
        let last = messages.last().map_or(i64::MIN, |message| message.seq);
        notices.retain(|notice| notice.after < last);
    }
    Ok((messages, notices))
}

/// Each notice in its place; with `rest`, those after the last message too.
pub(crate) fn merged<'a>(messages: &'a [StoredMessage], notices: &'a [Notice], rest: bool) -> Vec<Line<'a>> {
    let mut lines = Vec::with_capacity(messages.len() + notices.len());
    let mut notices: Vec<&Notice> = notices.iter().collect();
    // A notice that was changed stands where it was first, and has a later number.
    notices.sort_by_key(|notice| (notice.after, notice.seq));
    let mut notices = notices.into_iter().peekable();
    for message in messages {
        while let Some(notice) = notices.next_if(|notice| notice.after < message.seq) {
            lines.push(Line::Notice(notice));
        }
        lines.push(Line::Message(message));
    }
    if rest {
        lines.extend(notices.map(Line::Notice));
    }
    lines
}

fn count(number: u64) -> String {
    match number {
        1 => "1 message".to_owned(),
        _ => format!("{number} messages"),
    }
}

/// A notice for people.
fn spoken(notice: &Notice) -> String {
    let name = name(notice);
    let device = notice.from.device;
    let whose = if notice.own { format!("your device {device}") } else { format!("{name}, device {device}") };
    let from = if notice.own { whose.clone() } else { name };
    let numbers = match (notice.first, notice.last) {
        (first, last) if first == last => format!("number {first} of {whose}"),
        (first, last) => format!("numbers {first} to {last} of {whose}"),
    };
    let all = notice.last.saturating_sub(notice.first).saturating_add(1);
    let told = match notice.kind {
        NoticeKind::Missing if notice.may_have_expired => format!(
            "{} from {from} did not come ({numbers}): a server keeps nothing longer than 30 days, or it has left something out",
            count(notice.missing)
        ),
        NoticeKind::Missing => format!("{} from {from} did not come ({numbers})", count(notice.missing)),
        NoticeKind::Blocked => {
            format!("{} from {from} did not come ({numbers}): written while blocked", count(notice.missing))
        }
        NoticeKind::Late => format!("{} from {from} came after later ones ({numbers})", count(all)),
        NoticeKind::Mended => format!("{} from {from} came after all ({numbers})", count(all)),
        NoticeKind::Forked => format!(
            "what {whose} says does not follow from what it said before ({numbers}): it was set back to an older copy, or \
             somebody else uses its keys. Ask by another way"
        ),
        NoticeKind::Restarted => {
            format!("{whose} counts its messages anew: whether all of those before came is not known")
        }
    };
    format!("{} ! {told}", output::time(notice.at))
}

fn name(notice: &Notice) -> String {
    match &notice.handle {
        Some(handle) => handle.to_string(),
        None => format!("#{}", hex::encode(notice.from.account.as_bytes())),
    }
}

fn object(notice: &Notice) -> Value {
    json!({
        "event": "gap", "from": name(notice), "device": notice.from.device.get(), "own": notice.own,
        "kind": notice.kind.as_str(), "first": notice.first, "last": notice.last, "missing": notice.missing,
        "may_have_expired": notice.may_have_expired, "noticed_at_ms": notice.at.get(),
    })
}
