//! The way to the network: what the command line chooses, and how far Tor is.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;

use endtoend_client::address::{Host, ServerAddress};
use endtoend_client::files::SHOWN_BYTES_MAX;
use endtoend_client::pictures::{self, NoPicture};
use endtoend_client::profile::Profile;
use endtoend_client::transport::bridges::read_lines;
use endtoend_client::transport::keys::{BadOnionKey, KEYS_MAX, OnionName, read_key};
use endtoend_client::transport::{
    BridgeLine, Choice, Network, NetworkSettings, NetworkStatus, TOR_FOLDER, TorState, TorTrouble, Way,
};
use endtoend_crypto_core::visitor::VisitorSecret;
use serde_json::{Value, json};

use crate::args::Arguments;
use crate::failure::{Failure, Kind};
use crate::{output, password};

/// The settings with what the command line says. Asks a person before his address is shown to anybody.
pub(crate) fn choose(
    arguments: &Arguments,
    before: &NetworkSettings,
    server: Option<&ServerAddress>,
) -> Result<NetworkSettings, Failure> {
    let mut chosen = before.clone();
    if let Some(choice) = arguments.network {
        chosen.choice = choice;
    }
    if let Some(path) = &arguments.bridges {
        chosen.bridges = read_bridges(path)?;
    }
    if let Some(path) = &arguments.onion_key {
        let whose = server.and_then(|server| OnionName::of(&server.host));
        take_key(&mut chosen, Some(path), whose.as_ref())?;
    }
    let exposes = |choice: Choice| server.is_none_or(|server| choice.exposes(&server.host));
    if chosen.choice != before.choice && chosen.choice == Choice::Direct && exposes(chosen.choice) {
        confirm_exposure(arguments, server.map(|server| &server.host))?;
    }
    Ok(chosen)
}

fn confirm_exposure(arguments: &Arguments, host: Option<&Host>) -> Result<(), Failure> {
    if arguments.expose_address {
        return Ok(());
    }
    if arguments.json || !io::stdin().is_terminal() {
        return Err(
            Failure::new(Kind::Usage, "--network direct asks a person").hint("with --expose-address it does not ask")
        );
    }
    let host = host.map_or_else(|| "the server".to_owned(), Host::to_string);
    output::line(&format!(
        "Without Tor {host} and every network on the way learn the address of this machine, and with it most often\n\
         where you are and who you are; they see when you write and how much. This is remembered for the profile.\n\
         Type expose to go on:"
    ))?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if answer.trim() == "expose" { Ok(()) } else { Err(Failure::new(Kind::Failed, "nothing was changed")) }
}

/// The bridges in a file, which has lines or is a picture of a code with them; of none, when the file is `none`.
pub(crate) fn read_bridges(path: &Path) -> Result<Vec<BridgeLine>, Failure> {
    if path.as_os_str() == "none" {
        return Ok(Vec::new());
    }
    let wrong = |why: String| Failure::new(Kind::Usage, format!("{}: {why}", path.display()));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    file.take(SHOWN_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
    let text = match pictures::code_in(&bytes) {
        Ok(Some(code)) => code,
        Ok(None) => return Err(wrong("there is no code in this picture that can be read".to_owned())),
        // Then it is text.
        Err(NoPicture) => String::from_utf8(bytes).map_err(|_| wrong("neither text nor a picture".to_owned()))?,
    };
    read_lines(&text).map_err(|(line, error)| {
        let place = line.map_or_else(String::new, |line| format!(", line {line}"));
        Failure::new(Kind::Usage, format!("{}{place}: {error}", path.display()))
    })
}

/// Takes the key in that file, or that somebody types.
pub(crate) fn take_key(
    settings: &mut NetworkSettings,
    file: Option<&Path>,
    whose: Option<&OnionName>,
) -> Result<OnionName, Failure> {
    let text = password::onion_key(file)?;
    let (name, key) = read_key(&text, whose).map_err(bad_key)?;
    keep_key(settings, name.clone(), key)?;
    Ok(name)
}

pub(crate) fn keep_key(settings: &mut NetworkSettings, name: OnionName, key: VisitorSecret) -> Result<(), Failure> {
    if settings.keys.len() >= KEYS_MAX && !settings.keys.contains_key(&name) {
        return Err(bad_key(BadOnionKey::TooMany));
    }
    settings.keys.insert(name, key);
    Ok(())
}

pub(crate) fn bad_key(error: BadOnionKey) -> Failure {
    Failure::new(Kind::Usage, error.to_string())
}

/// Keeps in the profile what the command line says.
pub(crate) fn keep(
    arguments: &Arguments,
    profile: &mut Profile,
    server: Option<&ServerAddress>,
) -> Result<(), Failure> {
    let before = profile.database().read().network()?;
    let own = profile.database().read().account()?.map(|account| account.server);
    let chosen = choose(arguments, &before, server.or(own.as_ref()))?;
    if chosen != before {
        profile.database().write(|store| store.set_network(&chosen))?;
    }
    Ok(())
}

/// Removes what Tor has kept where no profile came about.
pub(crate) fn forget(home: &Path, network: &Network, failed: bool) {
    if failed && !Profile::exists(home) && network.status().borrow().tor != TorState::Off {
        // What cannot be removed says which relays there are.
        let _gone = std::fs::remove_dir_all(home.join(TOR_FOLDER));
        let _empty = std::fs::remove_dir(home);
    }
}

/// Says how it stands with Tor whenever that is worth a line. Ends with `work`.
pub(crate) async fn telling<T>(network: &Network, work: impl Future<Output = T>) -> T {
    let mut status = network.status();
    let mut told = Progress::default();
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            Ok(()) = status.changed() => told.tell(&status.borrow_and_update()),
        }
    }
}

/// How it stands, for programs.
pub(crate) fn status_object(status: &NetworkStatus) -> Value {
    json!({
        "event": "network", "way": status.way.map(Way::as_str), "state": status.tor.as_str(),
        "percent": status.tor.percent(), "trouble": status.tor.trouble().map(TorTrouble::as_str),
        "bridges": status.bridges,
    })
}

/// What was said of Tor.
#[derive(Debug, Default)]
pub(crate) struct Progress(Option<TorState>);

impl Progress {
    /// Says it, unless it is what was said last or hardly more.
    pub(crate) fn tell(&mut self, status: &NetworkStatus) {
        if let Some(line) = self.line(status) {
            output::note(&line);
        }
    }

    fn line(&mut self, status: &NetworkStatus) -> Option<String> {
        const STEP: u8 = 20;
        let line = match (&self.0, &status.tor) {
            (_, TorState::Off) => return None,
            (Some(TorState::Starting { percent }), TorState::Starting { percent: now })
                if *now < percent.saturating_add(STEP) =>
            {
                return None;
            }
            (Some(TorState::Verified), TorState::Ready) | (Some(TorState::Ready), TorState::Verified) => return None,
            (Some(TorState::Trouble { trouble: told, .. }), TorState::Trouble { trouble, .. }) if told == trouble => {
                return None;
            }
            (before, now) if before.as_ref() == Some(now) => return None,
            (_, TorState::Starting { percent }) => format!("Tor starts: {percent} %"),
            (_, TorState::Ready | TorState::Verified) => match status.bridges.as_slice() {
                [] => "Tor is ready".to_owned(),
                kinds => format!("Tor is ready, through bridges ({})", kinds.join(", ")),
            },
            (_, TorState::Trouble { trouble, .. }) => format!("{trouble}"),
        };
        self.0 = Some(status.tor.clone());
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(states: &[TorState]) -> Vec<String> {
        let mut progress = Progress::default();
        let status = |tor: &TorState| NetworkStatus { tor: tor.clone(), ..NetworkStatus::default() };
        states.iter().filter_map(|tor| progress.line(&status(tor))).collect()
    }

    #[test]
    fn a_start_is_told_in_steps() {
        let mut states: Vec<_> = (0..=99).map(|percent| TorState::Starting { percent }).collect();
        states.extend([TorState::Ready, TorState::Verified, TorState::Ready, TorState::Off]);
        let told = lines(&states);
        assert_eq!(told.first().map(String::as_str), Some("Tor starts: 0 %"));
        assert_eq!((told.len(), told.last().map(String::as_str)), (6, Some("Tor is ready")), "{told:?}");
    }

    #[test]
    fn bridges_come_as_lines_or_as_a_picture_of_their_code() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bridges");
        let bridges = ["192.0.2.3:443", "192.0.2.4:443"].map(|at| format!("{at} {}", "0".repeat(40)));
        std::fs::write(&file, bridges.join("\n")).unwrap();
        let lines = read_bridges(&file).unwrap();
        assert_eq!(lines.iter().map(BridgeLine::as_str).collect::<Vec<_>>(), bridges);

        // As Tor's own service draws them.
        let code = qrcode::QrCode::new(format!("['{}', '{}']", bridges[0], bridges[1])).unwrap();
        let (side, colors) = (code.width() as u32, code.to_colors());
        let drawn = image::GrayImage::from_fn((side + 8) * 5, (side + 8) * 5, |x, y| {
            let at = |place: u32| (place / 5).checked_sub(4).filter(|module| *module < side);
            let dark = |(x, y)| colors[(y * side + x) as usize] == qrcode::Color::Dark;
            image::Luma([if at(x).zip(at(y)).is_some_and(dark) { 0 } else { 255 }])
        });
        drawn.save_with_format(&file, image::ImageFormat::Png).unwrap();
        assert_eq!(read_bridges(&file).unwrap(), lines);

        image::GrayImage::new(9, 9).save_with_format(&file, image::ImageFormat::Png).unwrap();
        assert!(read_bridges(&file).unwrap_err().text().contains("no code in this picture"));
        std::fs::write(&file, [0xff, 0xfe]).unwrap();
        assert!(read_bridges(&file).unwrap_err().text().contains("neither text nor a picture"));
    }

    #[test]
    fn trouble_is_told_once() {
        let trouble = |percent| TorState::Trouble { percent, trouble: TorTrouble::NoNetwork };
        let told = lines(&[TorState::Starting { percent: 0 }, trouble(0), trouble(1), TorState::Ready]);
        assert_eq!(told.len(), 3, "{told:?}");
    }
}
