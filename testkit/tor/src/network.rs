//! The network.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use endtoend_keeper::{PATIENCE, eventually};

use crate::addresses::Addresses;
use crate::keys::{Authority, ed25519_identity, fingerprint};
use crate::names::Names;
use crate::process::{Process, program};
use crate::sockets;
use crate::streams::{self, Streams};
use crate::torrc::{self, CALM, DIRECTORY, OBFS4, OR, Period, RESTLESS, Rhythm};

/// Relays beside the authority, which is one too. Three would do for a circuit to an onion service; of five, two may fail.
pub const RELAYS: usize = 5;
/// The authority has the first place, then come the relays.
const BRIDGE: u8 = 1 + RELAYS as u8;
const NAMES: u8 = BRIDGE + 1;
/// Where clients and onion services begin.
const OTHERS: u8 = NAMES + 1;

/// A private Tor network.
#[derive(Debug)]
pub struct Network {
    addresses: Addresses,
    authority: Authority,
    rhythm: Rhythm,
    /// The authority first.
    relays: Vec<Process>,
    bridge: Process,
    names: Names,
    others: AtomicU8,
}

impl Network {
    /// On loopback.
    ///
    /// # Panics
    /// When there is no Tor, or the network does not get ready.
    pub fn start() -> Self {
        Self::start_on(Addresses::loopback())
    }

    /// On loopback, with an authority that votes every 20 s: what a client learns is old after that, and has run out after 40 s.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_restless() -> Self {
        Self::start_with(Addresses::loopback(), RESTLESS)
    }

    /// On these addresses.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_on(addresses: Addresses) -> Self {
        Self::start_with(addresses, CALM)
    }

    fn start_with(addresses: Addresses, rhythm: Rhythm) -> Self {
        let names = Names::serve(addresses.at(NAMES, OR));
        let relays: Vec<_> = (0..=RELAYS).map(|place| Process::new(&name(place))).collect();
        let first = relays.first().expect("the authority");
        let authority = Authority::make(&first.data(), addresses.at(0, OR), addresses.at(0, DIRECTORY));
        let bridge = Process::new("bridge");
        let network = Self { addresses, authority, rhythm, relays, bridge, names, others: AtomicU8::new(OTHERS) };
        fs::write(network.resolv(), format!("nameserver {}\n", network.names.at())).expect("room for a file");
        network.configure();
        network.found();
        fs::write(network.arti_toml(), network.arti()).expect("room for a file");
        network
    }

    /// Where the exits read whom they ask for names.
    fn resolv(&self) -> PathBuf {
        self.authority_process().folder().join("resolv.conf")
    }

    fn configure(&self) {
        for (place, process) in (0..).zip(&self.relays).skip(1) {
            let own = self.relay(&name(place.into()), place, process);
            process.configure(&format!("{own}PublishServerDescriptor v3\n"));
        }
        let own = self.relay("bridge", BRIDGE, &self.bridge).replace("ExitPolicy accept", "ExitPolicy reject");
        let transport = torrc::bridge(&program("obfs4proxy"), self.addresses.at(BRIDGE, OBFS4));
        self.bridge.configure(&format!("{own}{transport}"));
    }

    /// The authority votes when the time comes.
    fn configure_authority(&self, votes: Period) {
        let process = self.authority_process();
        let own = self.relay(&name(0), 0, process);
        process.configure(&(own + &torrc::authority(self.authority.directory, self.rhythm, votes)));
    }

    fn relay(&self, name: &str, place: u8, process: &Process) -> String {
        let ip = self.addresses.ip(place);
        torrc::common(name, &process.data(), &self.authority, &self.addresses)
            + &torrc::relay(ip, self.addresses.at(place, OR), &self.resolv())
    }

    fn authority_process(&self) -> &Process {
        self.relays.first().expect("the authority")
    }

    /// A client that asks for a consensus too early waits ten seconds before it asks again: so each waits for what it needs.
    fn found(&self) {
        let authority = self.authority_process();
        self.configure_authority(self.rhythm.far_away());
        authority.start();
        authority.until("directory", |_| is_open(self.authority.directory));
        self.relays.iter().skip(1).for_each(Process::start);
        authority.until("descriptor of every relay", |authority| described(authority) > RELAYS);
        self.configure_authority(self.rhythm.soon());
        authority.hang_up();
        authority.until("consensus", has_consensus);
        // They would wait up to ten seconds before they ask again.
        self.relays.iter().skip(1).for_each(Process::hang_up);
        for relay in &self.relays {
            relay.until("bootstrap", |relay| has_consensus(relay) && relay.bootstrapped());
        }
        self.bridge.start();
        self.bridge.until("bootstrap", Process::bootstrapped);
        self.bridge.until("bridge line", |bridge| obfs4_arguments(bridge).is_some());
    }

    /// A configuration of arti, without storage: what a client has to know of this network.
    pub fn arti_toml(&self) -> PathBuf {
        self.authority_process().folder().join("arti.toml")
    }

    fn arti(&self) -> String {
        let (directory, identity) = (self.authority.directory, &self.authority.v3_identity);
        let mut text = format!(
            "[address_filter]\nallow_local_addrs = true\n\n[tor_network.authorities]\nv3idents = [\"{identity}\"]\n\
             uploads = [[\"{directory}\"]]\ndownloads = [[\"{directory}\"]]\nvotes = [[\"{directory}\"]]\n"
        );
        for (place, process) in (0..).zip(&self.relays) {
            text += &format!(
                "\n[[tor_network.fallback_caches]]\nrsa_identity = \"{}\"\ned_identity = \"{}\"\norports = [\"{}\"]\n",
                fingerprint(&process.data()),
                ed25519_identity(&process.data()),
                self.addresses.at(place, OR),
            );
        }
        text
    }

    /// For people of this network alone: its exits know this name from now on, and nobody else does.
    pub fn name(&self, name: &str, address: Ipv4Addr) {
        self.names.add(name, address);
    }

    /// The bridge without a transport, as people are given it.
    pub fn vanilla_bridge(&self) -> String {
        format!("{} {}", self.addresses.at(BRIDGE, OR), fingerprint(&self.bridge.data()))
    }

    /// The same bridge through obfs4.
    ///
    /// # Panics
    /// Never, once the network is ready.
    pub fn obfs4_bridge(&self) -> String {
        let arguments = obfs4_arguments(&self.bridge).expect("it was waited for");
        let (at, fingerprint) = (self.addresses.at(BRIDGE, OBFS4), fingerprint(&self.bridge.data()));
        format!("obfs4 {at} {fingerprint} {arguments}")
    }

    /// The transport program of that line.
    ///
    /// # Panics
    /// When there is none.
    pub fn obfs4proxy() -> PathBuf {
        program("obfs4proxy")
    }

    /// Where relays listen, the authority first; of that one also where it tells who there is.
    pub fn relay_addresses(&self) -> Vec<SocketAddr> {
        let relays = (0..).zip(&self.relays).map(|(place, _)| self.addresses.at(place, OR));
        relays.chain([self.authority.directory]).collect()
    }

    /// Where the bridge listens: without a transport, and with obfs4.
    pub fn bridge_addresses(&self) -> [SocketAddr; 2] {
        [OR, OBFS4].map(|listener| self.addresses.at(BRIDGE, listener))
    }

    /// Relays that a process is connected with, by number: its guards.
    pub fn guards_of(&self, pid: u32) -> Vec<usize> {
        let connected = sockets::connected(pid);
        let places = (0..).zip(&self.relays).filter(|(place, _)| connected.contains(&self.addresses.at(*place, OR)));
        places.map(|(place, _)| usize::from(place)).collect()
    }

    /// Streams that lead to a server through exits, by their circuits, as the exits tell it.
    ///
    /// # Panics
    /// When a relay that lives does not tell.
    pub fn streams_to(&self, server: SocketAddr) -> Streams {
        streams::merged(self.relays.iter().zip(0..).map(|(relay, place)| streams::told(place, relay, server)))
    }

    /// Ends a relay as a crash would.
    ///
    /// # Panics
    /// When there is no such relay.
    pub fn kill(&self, relay: usize) {
        self.relays.get(relay).expect("a relay of this network").kill();
    }

    /// Starts a relay that was killed.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn revive(&self, relay: usize) {
        let process = self.relays.get(relay).expect("a relay of this network");
        process.start();
        process.until("bootstrap", Process::bootstrapped);
    }

    /// Ends all of it as a power cut would.
    pub fn stop(&self) {
        thread::scope(|scope| {
            for process in self.relays.iter().chain([&self.bridge]) {
                scope.spawn(|| process.kill());
            }
        });
    }

    /// Starts what has ended, with the keys and addresses of before.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn resume(&self) {
        let ended: Vec<_> =
            self.relays.iter().chain([&self.bridge]).filter(|process| process.pid().is_none()).collect();
        ended.iter().for_each(|process| process.start());
        ended.iter().for_each(|process| process.until("bootstrap", Process::bootstrapped));
    }

    /// A `tor` of somebody else's in this network, with its first lines of configuration, and its place.
    pub(crate) fn other(&self, name: &str) -> (Process, String, u8) {
        let place = self.others.fetch_add(1, Ordering::Relaxed);
        let process = Process::new(name);
        let common = torrc::common(name, &process.data(), &self.authority, &self.addresses);
        (process, common, place)
    }

    pub(crate) const fn addresses(&self) -> &Addresses {
        &self.addresses
    }
}

fn name(place: usize) -> String {
    if place == 0 { "authority".to_owned() } else { format!("relay{place}") }
}

fn is_open(at: SocketAddr) -> bool {
    std::net::TcpStream::connect(at).is_ok()
}

/// Relays whose descriptors the authority has.
fn described(authority: &Process) -> usize {
    let files = ["cached-descriptors", "cached-descriptors.new"].map(|file| authority.file(file));
    let names = files.iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("router "));
    let names: std::collections::BTreeSet<_> = names.filter_map(|line| line.split(' ').next()).collect();
    names.len()
}

fn has_consensus(process: &Process) -> bool {
    process.file("cached-microdesc-consensus").contains("\ndirectory-signature ")
}

/// `cert=… iat-mode=…`, as the bridge has written it for people.
fn obfs4_arguments(bridge: &Process) -> Option<String> {
    let text = bridge.file("pt_state/obfs4_bridgeline.txt");
    let line = text.lines().find(|line| line.starts_with("Bridge obfs4"))?;
    line.find("cert=").and_then(|at| line.get(at..)).map(|arguments| arguments.trim().to_owned())
}

/// Waits for what a test of this crate wants.
pub(crate) fn wait(what: &str, holds: impl FnMut() -> bool) {
    assert!(eventually(holds), "no {what} within {PATIENCE:?}");
}
