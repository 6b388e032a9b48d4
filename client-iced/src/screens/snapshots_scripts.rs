//! Words that are read from right to left, words of other scripts, and emoji: see `snapshots`. What draws them is in `tests/fonts`.

use endtoend_client::database::{Direction, MessageRef, StoredMessage};
use endtoend_protocol::UnixMillis;
use iced::widget::text_editor::{Action as Typed, Edit};

use super::snapshots::{WINDOW, app, at_home, compare, news, people, talking, tell};
use super::snapshots_over::in_chat;
use crate::app::Message;
use crate::order::News;
use crate::preferences::Appearance;
use crate::screens::home::{ChatMessage, Message as Home};
use crate::testing::{NOW, conversation, id, message};

const ARABIC: &str =
    "لقد راجعت مخططات الميناء مرة أخرى. الرصيف الشرقي جيد لكن الرافعة تحتاج إلى أسبوع آخر. هل يمكنك أن تسأل؟";
const HEBREW: &str = "קראתי את report.pdf אתמול, והכול בסדר. נתראה ביום שלישי ב-14:30?";
const CHINESE: &str = "码头的图纸我看过了。起重机还需要一个星期，渡船等不了那么久。能不能问一下？";
const JAPANESE: &str = "桟橋は大丈夫ですが、クレーンはあと一週間かかります。";
const KOREAN: &str = "화요일에 봐요! 크레인은 아직이에요.";
const EMOJI: &str = "👨‍👩‍👧 🏳️‍🌈 👍🏽 ❤️‍🔥 🇩🇪 1️⃣ ❤️ ☀️ 🚀 and ❤ in words";

fn said() -> Vec<StoredMessage> {
    let mut answer = message(5, Direction::Out, "Der Code ist שלום 4711, und **fertig** ❤️.");
    answer.marks.reply_to = Some(MessageRef { direction: Direction::In, id: id(3) });
    vec![
        message(1, Direction::In, "مرحبا، كيف الحال؟"),
        message(2, Direction::Out, "שלום"),
        message(3, Direction::In, ARABIC),
        message(4, Direction::Out, HEBREW),
        answer,
        message(6, Direction::In, CHINESE),
        message(7, Direction::Out, JAPANESE),
        message(8, Direction::In, KOREAN),
        message(9, Direction::Out, EMOJI),
        // Lines of one message, each in its own direction.
        message(10, Direction::In, "first line\nשלום\nlast line"),
    ]
}

/// The list, where a name and what was said last are of one script each.
fn many() -> Vec<Message> {
    let lines = [("bob", None, EMOJI), ("carol", Some("ليلى سمير"), ARABIC), ("dora", Some("נועה"), HEBREW)];
    let lines = lines.into_iter().chain([
        ("erin", Some("小美"), CHINESE),
        ("frank", Some("ゆき 👨‍👩‍👧"), JAPANESE),
        ("grace", Some("지우 ❤️"), KOREAN),
        ("heidi", Some("a name that is much too long for the line that it stands in"), "ok שלום"),
    ]);
    let all = lines.enumerate().map(|(place, (handle, nickname, words))| {
        let mut last = message(20 - place as u32, Direction::In, words);
        last.sent_at = UnixMillis::new(NOW - 600_000);
        let mut line = conversation(handle, Some(last), place as u64 * 3);
        line.contact.nickname = nickname.map(|name| name.parse().unwrap());
        line
    });
    let mut told = people();
    told.push(news(News::Conversations(Ok(all.collect()))));
    told
}

fn typed(words: &str) -> Message {
    in_chat(ChatMessage::Edited(Typed::Edit(Edit::Paste(words.to_owned().into()))))
}

#[test]
fn scripts_in_the_list_in_bubbles_and_where_one_writes() {
    for (appearance, suffix) in [(Appearance::Light, "light"), (Appearance::Dark, "dark")] {
        let size = (WINDOW.0, 1_060.0);
        let mut app = talking(app(appearance, true), many(), size, &said());
        let answer = MessageRef { direction: Direction::In, id: id(3) };
        tell(
            &mut app,
            [in_chat(ChatMessage::Answer(answer)), typed("קראתי את report.pdf אתמול ❤️, והכול בסדר 🚀\nok")],
        );
        compare(&app, &format!("scripts-{suffix}"), size);
    }
}

#[test]
fn scripts_where_there_is_little_room() {
    let size = (360.0, 640.0);
    let mut narrow = talking(app(Appearance::Light, true), many(), size, &said());
    tell(&mut narrow, [typed(ARABIC)]);
    compare(&narrow, "scripts-narrow-light", size);
    tell(&mut narrow, [at_home(Home::CloseChat)]);
    compare(&narrow, "scripts-list-light", size);
    tell(&mut narrow, [at_home(Home::Palette(true)), at_home(Home::PaletteEdited("o".to_owned()))]);
    compare(&narrow, "scripts-palette-light", size);
}

#[test]
fn the_mark_of_whoever_was_compared_stands_behind_any_name() {
    let size = (360.0, 240.0);
    let mut narrow = talking(app(Appearance::Light, true), people(), size, &said());
    let mut bob = conversation("bob", None, 0);
    bob.contact.nickname = Some("a name that is much too long for the line that it stands in".parse().unwrap());
    bob.contact.verified = true;
    let with = "bob".parse().unwrap();
    tell(&mut narrow, [news(News::Conversation(with, Ok(Some(Box::new(bob)))))]);
    compare(&narrow, "scripts-verified-light", size);
}
