//! The addresses that a node gives to people and to other nodes.

use std::net::IpAddr;

use super::identity::Pin;

/// Under what clients reach the node.
pub(super) fn host(names: &[String], listen: IpAddr) -> String {
    names.first().cloned().unwrap_or_else(|| match listen {
        ip if ip.is_unspecified() => "localhost".to_owned(),
        ip => ip.to_string(),
    })
}

/// As one names a port of a host: an IPv6 address in brackets.
pub(super) fn with_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The one line that a person hands to another.
pub(super) fn endtoend_address(host: &str, port: u16, pin: Pin) -> String {
    format!("endtoend://{}/#pin={pin}", with_port(host, port))
}
