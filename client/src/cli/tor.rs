//! The commands about Tor: how it is, whether the server is reached through it, bridges, keys of onion services.

use std::time::Duration;

use endtoend_client::address::ServerAddress;
use endtoend_client::clock;
use endtoend_client::profile::{Profile, ProfileError};
use endtoend_client::transport::keys::{BadOnionKey, OnionName, make_key};
use endtoend_client::transport::{
    self, BridgeLine, ConnectError, Network, NetworkSettings, NetworkStatus, TorState, TorTrouble, Traffic, Way,
    programs,
};
use serde_json::{Value, json};

use crate::args::{Arguments, Bridges, CONNECT_TIMEOUT, OnionKeys, Tor};
use crate::failure::{Failure, Kind};
use crate::network::{bad_key, keep, keep_key, read_bridges, take_key, telling};
use crate::outcome::done;
use crate::{output, password};

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
        return Err(ProfileError::Missing(home).into());
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
            keep_key(&mut settings, name, make_key())?;
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
