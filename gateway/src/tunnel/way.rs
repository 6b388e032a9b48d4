//! The programs that make a tunnel, and what they say when it is there.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use endtoend_keeper::Kept;

/// Longest host name that is believed, in bytes: what DNS takes.
const HOST_BYTES_MAX: usize = 253;

/// By what a node is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A service in the Tor network, by Debian's `tor`. Its name is kept, and stays the same.
    Onion,
    /// A port of another machine, by `ssh -R`.
    Ssh {
        /// As `ssh` takes it.
        to: String,
        /// There; 0 has the other machine choose.
        port: u16,
        /// Another configuration of `ssh` than the user's.
        config: Option<PathBuf>,
    },
    /// Any command of the shell whose output names an address.
    Command(String),
}

/// What a program's output says of the tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Reached there.
    At {
        /// A name or an address, in brackets if it is one of IPv6.
        host: String,
        port: u16,
        /// The tunnel ends TLS itself: clients, who know the node's key, refuse it.
        ends_tls: bool,
    },
    NotYet,
}

impl Found {
    /// Whether it is told in place of what was found before: the newest is, but an address where TLS is ended on the way says nothing
    /// against one where it is not. Programs print links to their terms and to pages of their own, too.
    pub(super) fn replaces(&self, before: &Self) -> bool {
        match (self, before) {
            (Self::NotYet, _) | (Self::At { ends_tls: true, .. }, Self::At { ends_tls: false, .. }) => false,
            _ => self != before,
        }
    }

    /// Whether that is the node itself, whose address many a program repeats.
    fn is(&self, node: SocketAddr) -> bool {
        let Self::At { host, port, .. } = self else { return false };
        let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
        *port == node.port() && ip.is_ok_and(|ip| ip == node.ip() || ip.is_loopback())
    }
}

const TOR: Kept = Kept { name: "tor", start: "\"$4\" -f \"$0/torrc\"", children: true };
const SSH: Kept = Kept {
    name: "ssh",
    start: "\"$4\" -v -N -T -o BatchMode=yes -o ExitOnForwardFailure=yes -o ServerAliveInterval=15 -o ServerAliveCountMax=3 \
            ${7:+-F \"$7\"} -R \"$5\" -- \"$6\"",
    children: true,
};
const COMMAND: Kept = Kept { name: "the command", start: "sh -c \"$4\"", children: true };

impl Way {
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Onion => "onion",
            Self::Ssh { .. } => "ssh",
            Self::Command(_) => "command",
        }
    }

    /// The program of Debian that it needs, with its package.
    pub(super) const fn needs(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Onion => Some(("tor", "tor")),
            Self::Ssh { .. } => Some(("ssh", "openssh-client")),
            Self::Command(_) => None,
        }
    }

    /// How it is started for the node that listens here. A command finds the address in place of `{address}`, `{host}` and `{port}`.
    pub(super) fn kept(&self, program: PathBuf, node: SocketAddr) -> (Kept, Vec<OsString>) {
        match self {
            Self::Onion => (TOR, vec![program.into_os_string()]),
            Self::Ssh { to, port, config } => {
                let config = config.clone().unwrap_or_default().into_os_string();
                (SSH, vec![program.into_os_string(), format!("*:{port}:{node}").into(), to.into(), config])
            }
            Self::Command(line) => {
                let line = line
                    .replace("{address}", &node.to_string())
                    .replace("{host}", &node.ip().to_string())
                    .replace("{port}", &node.port().to_string());
                (COMMAND, vec![line.into()])
            }
        }
    }

    /// What `tor` is to read, in this folder. Nobody uses it as a proxy, and it keeps nothing elsewhere.
    pub(super) fn torrc(folder: &str, node: SocketAddr) -> String {
        format!(
            "DataDirectory \"{folder}/tor\"\nHiddenServiceDir \"{folder}/onion\"\nHiddenServicePort {} {node}\nSocksPort 0\n\
             Log notice stdout\n",
            node.port()
        )
    }

    /// What the output says so far. `hostname` is what `tor` has written.
    pub(super) fn found(&self, said: &str, hostname: Option<&str>, node: SocketAddr) -> Found {
        match self {
            Self::Onion => match hostname.map(str::trim).filter(|name| name.ends_with(".onion") && is_host(name)) {
                Some(host) if said.contains("Bootstrapped 100%") => {
                    Found::At { host: host.to_owned(), port: node.port(), ends_tls: false }
                }
                _ => Found::NotYet,
            },
            Self::Ssh { to, port, .. } => {
                let allocated = said.lines().find_map(|line| {
                    let (_, rest) = line.split_once("Allocated port ")?;
                    rest.split(' ').next()?.parse::<u16>().ok()
                });
                let through = allocated.or_else(|| said.contains("remote forward success").then_some(*port));
                // `ssh://USER@HOST:PORT`, `USER@HOST` or a name of its configuration.
                let to = to.strip_prefix("ssh://").unwrap_or(to);
                let host = to.rsplit_once('@').map_or(to, |(_, host)| host);
                let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
                match through.filter(|port| *port != 0) {
                    Some(port) => Found::At { host: host.to_owned(), port, ends_tls: false },
                    None => Found::NotYet,
                }
            }
            Self::Command(_) => {
                let words = said.split(|letter: char| letter.is_whitespace() || "\"'`|<>,;()=".contains(letter));
                let others = words.filter_map(url).filter(|found| !found.is(node));
                others.fold(Found::NotYet, |best, found| if found.replaces(&best) { found } else { best })
            }
        }
    }
}

/// An address with a scheme. Without one every time of day would be taken for one.
fn url(word: &str) -> Option<Found> {
    let (scheme, rest) = word.split_once("://")?;
    let (ends_tls, usual) = match scheme.to_ascii_lowercase().as_str() {
        "tcp" | "tls" | "endtoend" | "wss" => (false, 443),
        "https" => (true, 443),
        _ => return None,
    };
    let place = rest.split(['/', '#', '?']).next()?;
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|port: &u16| *port != 0)?),
        _ => (place, usual),
    };
    is_host(host).then(|| Found::At { host: host.to_owned(), port, ends_tls })
}

/// Words of somebody else's program go into an address that people copy: letters, digits, `.`, `-` and brackets of IPv6.
fn is_host(text: &str) -> bool {
    let v6 = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match v6 {
        Some(inside) => inside.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            (1..=HOST_BYTES_MAX).contains(&text.len())
                && text.contains('.')
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-')
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8443);

    const CLOUDFLARED: &str = "\
        2026-11-26T10:00:00Z INF Thank you for trying Cloudflare Tunnel. Doing so, without a Cloudflare account, is a quick way to \
        experiment and try it out. However, be aware that these account-less Tunnels have no uptime guarantee, are subject to the \
        Cloudflare Online Services Terms of Use (https://www.cloudflare.com/website-terms/), and Cloudflare reserves the right to \
        investigate your use of Tunnels for violations of such terms. If you intend to use Tunnels in production you should use a \
        pre-created named tunnel by following: https://developers.cloudflare.com/cloudflare-one/connections/connect-apps\n\
        2026-11-26T10:00:00Z INF Requesting new quick Tunnel on trycloudflare.com...\n\
        2026-11-26T10:00:02Z INF +--------------------------------------------------------------------------------------------+\n\
        2026-11-26T10:00:02Z INF |  Your quick Tunnel has been created! Visit it at (it may take some time to be reachable):  |\n\
        2026-11-26T10:00:02Z INF |  https://some-words.trycloudflare.com                                                     |\n\
        2026-11-26T10:00:02Z INF +--------------------------------------------------------------------------------------------+\n\
        2026-11-26T10:00:02Z INF Settings: map[ha-connections:1 protocol:quic url:tcp://127.0.0.1:8443]\n";

    fn at(host: &str, port: u16, ends_tls: bool) -> Found {
        Found::At { host: host.to_owned(), port, ends_tls }
    }

    #[test]
    fn an_address_is_found_in_what_programs_say() {
        let found = |said: &str| Way::Command(String::new()).found(said, None, NODE);
        for (said, expected) in [
            (
                "t=2026-11-26T10:00:00 lvl=info msg=\"started tunnel\" url=tcp://0.tcp.ngrok.io:12345",
                at("0.tcp.ngrok.io", 12345, false),
            ),
            ("|  https://some-words.trycloudflare.com  |", at("some-words.trycloudflare.com", 443, true)),
            ("forwarding tcp://bore.pub:4000\n", at("bore.pub", 4000, false)),
            ("tls://[2001:db8::1]:7/x", at("[2001:db8::1]", 7, false)),
            ("10:00:00 INFO nothing yet, see http://127.0.0.1:4040 and tcp://", Found::NotYet),
            ("tcp://host.example:0 tcp://host.example:99999 tcp://a_b.example:1 tcp://x\u{1b}[0m.y:1", Found::NotYet),
            ("", Found::NotYet),
            // The newest counts, not the node's own, and one that passes TCP on before one that does not.
            ("tcp://a.example:1\ntcp://b.example:2\nhttps://c.example\n", at("b.example", 2, false)),
            ("https://a.example tcp://b.example:2 https://c.example", at("b.example", 2, false)),
            ("tcp://b.example:2 to tcp://127.0.0.1:8443", at("b.example", 2, false)),
            ("forwarding tcp://127.0.0.1:8443", Found::NotYet),
            ("forwarding tcp://127.0.0.1:8444", at("127.0.0.1", 8444, false)),
            (CLOUDFLARED, at("some-words.trycloudflare.com", 443, true)),
        ] {
            assert_eq!(found(said), expected, "{said}");
        }
    }

    #[test]
    fn ssh_says_which_port_it_got() {
        let way = |to: &str, port| Way::Ssh { to: to.to_owned(), port, config: None };
        let success = "debug1: remote forward success for: listen *:7000, connect 127.0.0.1:8443\n";
        assert_eq!(way("me@relay.example", 7000).found(success, None, NODE), at("relay.example", 7000, false));
        assert_eq!(way("ssh://me@relay.example:22", 7000).found(success, None, NODE), at("relay.example", 7000, false));
        let allocated = "Allocated port 36443 for remote forward to 127.0.0.1:8443\n";
        assert_eq!(way("relay", 0).found(allocated, None, NODE), at("relay", 36443, false));
        assert_eq!(way("relay", 7000).found("debug1: Connecting to relay\n", None, NODE), Found::NotYet);
        let (kept, arguments) = way("-oProxyCommand=x", 0).kept("ssh".into(), NODE);
        assert!(kept.start.ends_with("-- \"$6\""), "no target is an option");
        assert_eq!(arguments[1], "*:0:127.0.0.1:8443");
    }

    #[test]
    fn an_onion_service_is_there_when_tor_is_through() {
        let name = format!("{}.onion\n", "a".repeat(56));
        let found = |said: &str, hostname| Way::Onion.found(said, hostname, NODE);
        assert_eq!(found("Bootstrapped 5% (conn)", Some(&name)), Found::NotYet);
        assert_eq!(found("Bootstrapped 100% (done)", None), Found::NotYet);
        assert_eq!(found("Bootstrapped 100% (done)", Some("not.an.onion x")), Found::NotYet);
        assert_eq!(found("Bootstrapped 100% (done)", Some(&name)), at(name.trim(), 8443, false));
        assert_eq!(
            Way::torrc("/d", NODE),
            "DataDirectory \"/d/tor\"\nHiddenServiceDir \"/d/onion\"\nHiddenServicePort 8443 127.0.0.1:8443\nSocksPort 0\n\
             Log notice stdout\n"
        );
    }

    #[test]
    fn a_command_is_told_where_the_node_is() {
        let (_, arguments) =
            Way::Command("bore local {port} --to x; echo {address} {host}".to_owned()).kept("".into(), NODE);
        assert_eq!(arguments, ["bore local 8443 --to x; echo 127.0.0.1:8443 127.0.0.1"]);
    }
}
