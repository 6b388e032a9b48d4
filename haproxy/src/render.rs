//! The configuration as text: the same text for the same view, and nothing in it that a view did not have as a type.
//!
//! Everything but the servers is the *structure*. Its hash stands in the text as the description of the process, so that a
//! running HAProxy says itself what it runs; servers are compared one by one.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};

use crate::model::{Checks, EdgeView, Mode, Name, Settings, Terminate};

/// The backend of the nodes.
pub(crate) const BACKEND: &str = "nodes";
/// Beyond the clients' own: peers, checks, the sockets for orders.
const CONNECTIONS_ASIDE: u32 = 100;
/// Old processes that a master keeps: the oldest one ends with one more reload.
const OLD_PROCESSES_MAX: u32 = 16;
/// Sources that are remembered at one time; the one that was silent longest goes. About 50 MB when it is full.
const SOURCES_MAX: u32 = 200_000;

/// Names what a process runs, but for its servers: the description of the process. 16 hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure(String);

/// A configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The file.
    pub text: String,
    /// What a process that runs it says of itself.
    pub structure: Structure,
    /// Its servers.
    pub servers: BTreeMap<Name, Server>,
}

/// A server as HAProxy is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where connections go.
    pub address: SocketAddr,
    /// Where checks go, if not there.
    pub check: Option<SocketAddr>,
    /// 0 for one that drains.
    pub weight: u16,
    /// Connections at one time.
    pub connections_max: u32,
    /// What all servers have alike.
    common: String,
}

impl Structure {
    const PREFIX: &str = "endtoend-edge/";

    /// From the description of a process; `None` for one that is not ours.
    pub fn of_description(description: &str) -> Option<Self> {
        let hash = description.strip_prefix(Self::PREFIX)?;
        let fits = hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        fits.then(|| Self(hash.to_owned()))
    }
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Address, options: what follows the name, in a file and in an order.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, check, weight, connections_max, common } = self;
        write!(f, "{address} weight {weight} maxconn {connections_max} {common}")?;
        match check {
            None => Ok(()),
            Some(check) => write!(f, " addr {} port {}", bracketed(check.ip()), check.port()),
        }
    }
}

/// The configuration for this view, which [`EdgeView::validate`] accepts.
pub fn render(view: &EdgeView) -> Rendered {
    let settings = &view.settings;
    let common = server_options(settings);
    let frame = frame(settings);
    let hash = blake3::hash(format!("{frame}\n{common}").as_bytes()).to_hex();
    let structure = Structure(hash.as_str().chars().take(16).collect());
    let servers: BTreeMap<_, _> = view
        .membership
        .members
        .iter()
        .map(|(name, member)| {
            let server = Server {
                address: member.address,
                check: member.ready.filter(|_| settings.checks == Checks::Ready),
                weight: member.effective_weight(),
                connections_max: settings.limits.node_connections_max,
                common: common.clone(),
            };
            (name.clone(), server)
        })
        .collect();
    let mut text = format!(
        "# Written by `endtoend edge`, generation {}. What is changed here is overwritten.\n{}",
        view.membership.generation,
        frame.replace(DESCRIPTION_HERE, &format!("{}{structure}", Structure::PREFIX))
    );
    for (name, server) in &servers {
        let _ = writeln!(text, "    server {name} {server}");
    }
    Rendered { text, structure, servers }
}

/// Stands where the hash of the text comes, and no value can contain it.
const DESCRIPTION_HERE: &str = "{description}";

fn bracketed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// Everything but the servers.
fn frame(settings: &Settings) -> String {
    let Settings { name, listen, socket, mode, checks, limits, times, peers } = settings;
    let mut text = String::new();
    let mut line = |words: fmt::Arguments<'_>| {
        let _ = text.write_fmt(words);
        text.push('\n');
    };
    line(format_args!("global"));
    line(format_args!("    node {name}"));
    line(format_args!("    description {DESCRIPTION_HERE}"));
    line(format_args!("    localpeer {name}"));
    line(format_args!("    maxconn {}", limits.connections_max.saturating_add(CONNECTIONS_ASIDE)));
    line(format_args!("    hard-stop-after {}ms", times.hard_stop_after_ms));
    line(format_args!("    mworker-max-reloads {OLD_PROCESSES_MAX}"));
    line(format_args!("    spread-checks 5"));
    line(format_args!("    stats socket {socket} mode 600 level admin expose-fd listeners"));
    line(format_args!("    stats timeout 10s"));
    if let Mode::Terminate(Terminate { hybrid, .. }) = mode {
        let groups = if *hybrid { "X25519MLKEM768:X25519:P-256" } else { "X25519:P-256" };
        line(format_args!("    ssl-default-bind-options ssl-min-ver TLSv1.3 no-tls-tickets"));
        line(format_args!("    ssl-default-bind-curves {groups}"));
        line(format_args!("    ssl-default-server-options ssl-min-ver TLSv1.3 no-tls-tickets"));
    }
    line(format_args!("defaults"));
    line(format_args!("    mode tcp"));
    line(format_args!("    timeout connect {}ms", times.connect_ms));
    line(format_args!("    timeout check {}ms", times.connect_ms));
    line(format_args!("    timeout queue 5s"));
    line(format_args!("    timeout client {}ms", times.idle_ms));
    line(format_args!("    timeout server {}ms", times.idle_ms));
    line(format_args!("    timeout client-fin 10s"));
    line(format_args!("    timeout server-fin 10s"));
    line(format_args!("    retries 3"));
    // A node that refuses a connection is gone: the next try is with another one.
    line(format_args!("    option redispatch 1"));
    line(format_args!("    option clitcpka"));
    line(format_args!("    option srvtcpka"));
    if !peers.is_empty() {
        line(format_args!("peers edges"));
        for peer in peers {
            line(format_args!("    peer {} {}", peer.name, peer.address));
        }
    }
    line(format_args!("frontend clients"));
    for address in listen {
        // One socket for one family, so that both can have the same port.
        let v6 = if address.is_ipv6() { " v6only" } else { "" };
        match mode {
            Mode::PassThrough => line(format_args!("    bind {address}{v6}")),
            Mode::Terminate(Terminate { certificate, .. }) => {
                line(format_args!("    bind {address}{v6} ssl crt {certificate} alpn http/1.1"));
            }
        }
    }
    line(format_args!("    maxconn {}", limits.connections_max));
    line(format_args!("    acl free src 127.0.0.0/8 ::1/128"));
    for network in &limits.exempt {
        line(format_args!("    acl free src {network}"));
    }
    line(format_args!("    tcp-request connection accept if free"));
    line(format_args!("    tcp-request connection track-sc0 src,ipmask(32,64) table sources"));
    line(format_args!("    tcp-request connection reject if {{ sc0_conn_cur gt {} }}", limits.source_connections_max));
    line(format_args!("    tcp-request connection reject if {{ sc0_conn_rate gt {} }}", limits.source_rate_max));
    line(format_args!("    default_backend {BACKEND}"));
    line(format_args!("backend sources"));
    let shared = if peers.is_empty() { "" } else { " peers edges" };
    line(format_args!("    stick-table type ipv6 size {SOURCES_MAX} expire 60s store conn_cur,conn_rate(10s){shared}"));
    line(format_args!("backend {BACKEND}"));
    line(format_args!("    balance leastconn"));
    match checks {
        Checks::Ready => {
            line(format_args!("    option httpchk GET /readyz"));
            line(format_args!("    http-check expect status 200"));
        }
        Checks::Connect => line(format_args!("    option tcp-check")),
    }
    text
}

/// What all servers have alike.
fn server_options(settings: &Settings) -> String {
    let Settings { mode, times, .. } = settings;
    let mut options = String::from("send-proxy-v2");
    if let Mode::Terminate(Terminate { node_authority, node_name, .. }) = mode {
        let _ = write!(
            options,
            " ssl verify required ca-file {node_authority} verifyhost {node_name} sni str({node_name}) alpn http/1.1 \
             no-check-ssl"
        );
    }
    // A node that comes back gets its share slowly; one that was never away has it at once.
    let _ = write!(
        options,
        " slowstart {}ms check inter {}ms fastinter {}ms fall 2 rise 2",
        times.slow_start_ms,
        times.check_interval_ms,
        times.check_interval_ms.div_ceil(4)
    );
    options
}
