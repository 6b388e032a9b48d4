//! What the demo prints.

use std::io::{self, Write as _};

use serde_json::json;

use super::script::{Line, Scene, Seen};

/// Characters of a text that fit the transcript.
const TEXT_CHARS: usize = 58;

/// What happens, while it does: beside the transcript, which comes at the end.
pub(super) fn tell(as_json: bool, what: &str) {
    // Nobody may be reading any more.
    let _ = match as_json {
        true => writeln!(io::stdout(), "{}", json!({ "event": "progress", "what": what })),
        false => writeln!(io::stderr(), "{what}"),
    };
}

pub(super) fn print(seen: &Seen) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "\n{:<14} {:<60} {:>9} {:>9} {:>9}", "who", "text", "accepted", "delivered", "on wire")?;
    for scene in &seen.scenes {
        match scene {
            Scene::Happened { at_ms, what } => writeln!(out, "  — {:.1} s: {what}", *at_ms as f64 / 1000.0)?,
            Scene::Said(Line { from, to, text, accepted_ms, delivered_ms, wire_bytes }) => writeln!(
                out,
                "{:<14} {:<60} {accepted_ms:>6} ms {:>9} {wire_bytes:>7} B",
                format!("{from} → {to}"),
                shortened(text),
                delivered_ms.map_or_else(|| "LOST".to_owned(), |ms| format!("{ms} ms")),
            )?,
        }
    }
    let [of_alice, of_bob] = &seen.safety_numbers;
    writeln!(out, "\nsafety number at alice's  {of_alice}\nsafety number at bob's    {of_bob}")?;
    let searched = &seen.searched;
    writeln!(
        out,
        "\nsearched {} files of the servers, {} bytes of data and logs, for {} texts and passwords: {} found",
        searched.files,
        searched.bytes,
        seen.scenes.iter().filter(|scene| matches!(scene, Scene::Said(_))).count() + 2,
        searched.hits.len()
    )?;
    for hit in &searched.hits {
        writeln!(out, "  FOUND number {} {} in {}", hit.needle, hit.guise, hit.file.display())?;
    }
    writeln!(out)?;
    for promise in &seen.promises {
        writeln!(out, "  {}  {}", if promise.kept { "✓" } else { "✗ NOT KEPT" }, promise.what)?;
    }
    writeln!(out, "\n{:.1} s in all", seen.took_ms as f64 / 1000.0)?;
    if let Some(kept) = &seen.kept {
        let [alice, bob] = &kept.commands;
        let [alices, bobs] = &kept.passwords;
        writeln!(out, "\nThe node goes on running (stop it with: kill {}). To chat, in two terminals:", kept.pid)?;
        writeln!(out, "\n  {alice}\n    password: {alices}\n\n  {bob}\n    password: {bobs}")?;
    }
    out.flush()
}

pub(super) fn print_json(seen: &Seen) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for scene in &seen.scenes {
        let object = match scene {
            Scene::Happened { at_ms, what } => json!({ "event": "scene", "at_ms": at_ms, "what": what }),
            Scene::Said(line) => json!({
                "event": "message", "from": line.from, "to": line.to, "text_bytes": line.text.len(),
                "accepted_ms": line.accepted_ms, "delivered_ms": line.delivered_ms, "wire_bytes": line.wire_bytes,
            }),
        };
        writeln!(out, "{object}")?;
    }
    for promise in &seen.promises {
        writeln!(out, "{}", json!({ "event": "promise", "what": promise.what, "kept": promise.kept }))?;
    }
    let kept = seen.kept.as_ref().map(|kept| {
        json!({ "pid": kept.pid, "address": kept.address, "commands": kept.commands, "passwords": kept.passwords })
    });
    let done = json!({
        "event": "done", "safety_numbers": seen.safety_numbers, "files_searched": seen.searched.files,
        "bytes_searched": seen.searched.bytes, "found": seen.searched.hits.len(), "took_ms": seen.took_ms, "node": kept,
    });
    writeln!(out, "{done}")?;
    out.flush()
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= TEXT_CHARS {
        return text.to_owned();
    }
    let head: String = text.chars().take(TEXT_CHARS - 18).collect();
    format!("{}… ({} bytes)", head.trim_end(), text.len())
}
