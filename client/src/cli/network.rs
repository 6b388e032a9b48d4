//! The way to the network: what the command line chooses, and the commands about Tor.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;
use std::time::Duration;

use endtoend_client::address::{Host, ServerAddress};
use endtoend_client::clock;
use endtoend_client::files::SHOWN_BYTES_MAX;
use endtoend_client::pictures::{self, NoPicture};
use endtoend_client::profile::Profile;
use endtoend_client::transport::bridges::read_lines;
use endtoend_client::transport::keys::{BadOnionKey, KEYS_MAX, OnionName, read_key};
use endtoend_client::transport::{
    self, BridgeLine, Choice, ConnectError, Network, NetworkSettings, NetworkStatus, TOR_FOLDER, TorState, TorTrouble,
    Traffic, Way, programs,
};
use endtoend_crypto_core::visitor::VisitorSecret;
use serde_json::{Value, json};

use crate::args::{Arguments, Bridges, CONNECT_TIMEOUT, OnionKeys, Tor};
use crate::failure::{Failure, Kind};
use crate::outcome::done;
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
fn take_key(
    settings: &mut NetworkSettings,
    file: Option<&Path>,
    whose: Option<&OnionName>,
) -> Result<OnionName, Failure> {
    let text = password::onion_key(file)?;
    let (name, key) = read_key(&text, whose).map_err(bad_key)?;
    keep_key(settings, name.clone(), key)?;
    Ok(name)
}

fn keep_key(settings: &mut NetworkSettings, name: OnionName, key: VisitorSecret) -> Result<(), Failure> {
    if settings.keys.len() >= KEYS_MAX && !settings.keys.contains_key(&name) {
        return Err(bad_key(BadOnionKey::TooMany));
    }
    settings.keys.insert(name, key);
    Ok(())
}

fn bad_key(error: BadOnionKey) -> Failure {
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

pub(crate) async fn tor(arguments: &Arguments, what: &Tor) -> Result<(), Failure> {
    match what {
        Tor::Status => look(arguments, Look::Start).await,
        Tor::Check => look(arguments, Look::Reach { anew: false }).await,
        Tor::NewCircuit => look(arguments, Look::Reach { anew: true }).await,
        Tor::Bridges(bridges) => self::bridges(arguments, bridges),
        Tor::Key { what } => keys(arguments, what),
    }
}

fn open(arguments: &Arguments) -> Result<Profile, Failure> {
    let home = arguments.home()?;
    if !Profile::exists(&home) {
        return Err(endtoend_client::profile::ProfileError::Missing(home).into());
    }
    let password = password::ask(arguments, false)?;
    let mut profile = Profile::open(&home, password.as_bytes())?;
    keep(arguments, &mut profile, arguments.server.as_ref())?;
    Ok(profile)
}

/// How far to go.
#[derive(Clone, Copy)]
enum Look {
    /// Until Tor is ready.
    Start,
    /// To the server; `anew`: once more, on another circuit.
    Reach { anew: bool },
}

async fn look(arguments: &Arguments, how: Look) -> Result<(), Failure> {
    let mut profile = open(arguments)?;
    let server = arguments.server.clone().or(profile.database().read().account()?.map(|account| account.server));
    let network = profile.network()?;
    let way = server.as_ref().map_or(Way::Tor, |server| network.way_to(&server.host));
    let patience = arguments.timeout_by(way);
    let looked = telling(&network, async {
        match how {
            // There is nothing to start.
            Look::Start if way != Way::Tor => Ok(Vec::new()),
            Look::Start => network.start().await.map(|()| Vec::new()).map_err(ConnectError::Tor),
            Look::Reach { anew } => reach(&network, server.as_ref(), anew).await,
        }
    });
    let looked = tokio::time::timeout(patience, looked).await;
    let status = network.status().borrow().clone();
    network.close().await;
    let settings = network.settings();
    let (took, failed) = match looked {
        Ok(Ok(took)) => (took, None),
        Ok(Err(error)) => (Vec::new(), Some(Failure::from(error))),
        Err(_) => (Vec::new(), Some(Failure::new(Kind::TimedOut, "the time is over before anything was reached"))),
    };
    let shown = Shown { settings, way, status: &status, took: &took };
    done(arguments, &shown.object(), &shown.text())?;
    failed.map_or(Ok(()), Err)
}

/// How long it took to reach the server, each time.
async fn reach(network: &Network, server: Option<&ServerAddress>, anew: bool) -> Result<Vec<Duration>, ConnectError> {
    let Some(server) = server else {
        return network.start().await.map(|()| Vec::new()).map_err(ConnectError::Tor);
    };
    let mut took = Vec::new();
    for round in 0..=u8::from(anew) {
        if round > 0 {
            network.renew_circuits();
        }
        let began = clock::monotonic();
        transport::connect(network, server, Traffic::Check, CONNECT_TIMEOUT).await?;
        took.push(clock::monotonic().duration_since(began));
    }
    Ok(took)
}

struct Shown<'a> {
    settings: &'a NetworkSettings,
    way: Way,
    status: &'a NetworkStatus,
    took: &'a [Duration],
}

impl Shown<'_> {
    fn object(&self) -> Value {
        let Self { settings, way, status, took } = self;
        let trouble = status.tor.trouble();
        json!({
            "event": "tor", "network": settings.choice.to_string(), "way": way.as_str(), "state": status.tor.as_str(),
            "percent": status.tor.percent(), "trouble": trouble.map(TorTrouble::as_str),
            "text": trouble.map(ToString::to_string), "bridges": status.bridges,
            "reached_ms": took.iter().map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let Self { settings, way, status, took } = self;
        let mut lines = vec![format!("network: {}; to the server: {}", settings.choice, way.as_str())];
        if *way == Way::Tor {
            let state = match &status.tor {
                TorState::Off => "off".to_owned(),
                TorState::Starting { percent } => format!("starting, {percent} %"),
                TorState::Ready => "ready".to_owned(),
                TorState::Verified => "ready, and the server was reached through it".to_owned(),
                TorState::Trouble { percent, trouble } => format!("{trouble} ({percent} %)"),
            };
            lines.push(format!("Tor: {state}"));
            lines.push(match status.bridges.as_slice() {
                [] => "bridges: none".to_owned(),
                kinds => format!("bridges: {} ({})", settings.bridges.len(), kinds.join(", ")),
            });
        }
        for took in *took {
            let took = humantime::format_duration(Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(0)));
            lines.push(format!("reached the server in {took}"));
        }
        lines.join("\n")
    }
}

fn bridges(arguments: &Arguments, what: &Bridges) -> Result<(), Failure> {
    let mut profile = open(arguments)?;
    let mut settings = profile.database().read().network()?;
    let before = settings.clone();
    if let Some(path) = &what.set {
        settings.bridges = read_bridges(path)?;
    }
    if what.clear {
        settings.bridges.clear();
    }
    for line in &what.add {
        if !settings.bridges.contains(line) {
            settings.bridges.push(line.clone());
        }
    }
    if settings.bridges.len() > transport::bridges::BRIDGES_MAX {
        return Err(Failure::new(Kind::Usage, transport::bridges::BadBridge::TooMany.to_string()));
    }
    for (transport, program) in &what.program {
        if !settings.set_program(transport, program.clone()) {
            return Err(Failure::new(Kind::Usage, "too many programs are named"));
        }
    }
    if settings != before {
        profile.database().write(|store| store.set_network(&settings))?;
    }
    let found = programs::needed(&settings, &std::env::var_os("PATH").unwrap_or_default());
    let lines: Vec<&str> = settings.bridges.iter().map(BridgeLine::as_str).collect();
    let programs = found.as_ref().map_or(&[][..], Vec::as_slice);
    let object = json!({
        "event": "bridges", "bridges": lines,
        "programs": programs.iter().map(|program| json!({
            "transport": program.transport, "path": program.path.display().to_string(),
        })).collect::<Vec<_>>(),
        "missing": found.as_ref().err().map(ToString::to_string),
    });
    let mut text =
        if lines.is_empty() { "no bridges: Tor begins at public relays".to_owned() } else { lines.join("\n") };
    for program in programs {
        text.push_str(&format!("\n{} is spoken by {}", program.transport, program.path.display()));
    }
    done(arguments, &object, &text)?;
    if let Err(missing) = &found {
        output::note(&missing.to_string());
    }
    Ok(())
}

fn keys(arguments: &Arguments, what: &OnionKeys) -> Result<(), Failure> {
    let mut profile = open(arguments)?;
    let mut settings = profile.database().read().network()?;
    let before = settings.clone();
    let account = profile.database().read().account()?.map(|account| account.server);
    let own = arguments.server.as_ref().or(account.as_ref()).and_then(|server| OnionName::of(&server.host));
    let named = |name: &Option<OnionName>| name.clone().or_else(|| own.clone());
    match what {
        OnionKeys::List => {}
        OnionKeys::Add { file, onion } => {
            take_key(&mut settings, file.as_deref(), named(onion).as_ref())?;
        }
        OnionKeys::New { onion } => {
            let name = named(onion).ok_or_else(|| bad_key(BadOnionKey::Name))?;
            keep_key(&mut settings, name, VisitorSecret::generate(&mut rand::rng()))?;
        }
        OnionKeys::Remove { onion } => {
            let name = named(onion).ok_or_else(|| bad_key(BadOnionKey::Name))?;
            if settings.keys.remove(&name).is_none() {
                return Err(Failure::new(Kind::Failed, format!("there is no key for {name}")));
            }
        }
    }
    if settings != before {
        profile.database().write(|store| store.set_network(&settings))?;
    }
    let known: Vec<_> = settings.keys.iter().map(|(name, key)| (name.as_str(), key.public().to_string())).collect();
    let object = json!({
        "event": "onion_keys",
        "keys": known.iter().map(|(name, public)| json!({ "onion": name, "public": public })).collect::<Vec<_>>(),
    });
    let text = match known.as_slice() {
        [] => "no keys: only onion services that are for everybody are found".to_owned(),
        known => known.iter().map(|(name, public)| format!("{name}  {public}")).collect::<Vec<_>>().join("\n"),
    };
    done(arguments, &object, &text)
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
