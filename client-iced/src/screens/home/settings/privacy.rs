//! What others learn, and who gets at this device.

use std::time::Duration;

use endtoend_client::database::Settings;
use iced::Element;
use iced::widget::{column, row, space};

use super::parts::{Named, card, choice, switch};
use super::{Message as M, SettingsPage};
use crate::calendar::span;
use crate::preferences::Preferences;
use crate::screens::home::Message;
use crate::strings::Strings;
use crate::ui;

/// After how long a profile may lock itself, in seconds. `None`: never.
const LOCKS: [Option<u64>; 7] = [None, Some(60), Some(300), Some(900), Some(1_800), Some(3_600), Some(28_800)];

fn named(t: &Strings, after: Option<Duration>) -> Named<Option<Duration>> {
    Named::new(after, after.map_or_else(|| t.get("lock-never"), |after| span(t, after.as_secs())))
}

pub(super) fn view<'a>(
    t: &'a Strings,
    page: &'a SettingsPage,
    preferences: Preferences,
    narrow: bool,
) -> Element<'a, Message> {
    let told = match page.privacy {
        None => column![ui::note(t.get("loading"))],
        Some(now) => column![
            switch(t, "receipts", "receipts-note", now.receipts, move |receipts| {
                Message::Setting(M::SetPrivacy(Settings { receipts, ..now }))
            }),
            switch(t, "tell-typing", "tell-typing-note", now.typing, move |typing| {
                Message::Setting(M::SetPrivacy(Settings { typing, ..now }))
            }),
        ],
    };
    let locks = page.lock_after.map(|now| {
        let mut all: Vec<_> = LOCKS.into_iter().map(|seconds| named(t, seconds.map(Duration::from_secs))).collect();
        let now = named(t, now);
        // Chosen with another program, perhaps to the second.
        if !all.contains(&now) {
            all.push(now.clone());
        }
        choice(narrow, t.get("lock-after"), all, now, |named| Message::Setting(M::LockAfter(named.value)))
    });
    let clear = switch(t, "clear-clipboard", "clear-clipboard-note", preferences.clear_clipboard, move |on| {
        Message::Prefer(Preferences { clear_clipboard: on, ..preferences })
    });
    let lock = row![ui::quiet(t.get("lock-now"), Message::Setting(M::Lock)), space()];
    let device = column![].push(locks).push(ui::note(t.get("lock-note"))).push(lock).push(clear);
    column![card(t.get("privacy"), told), card(t.get("this-device-title"), device)].spacing(14).into()
}
