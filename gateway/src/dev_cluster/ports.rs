//! Ports of loopback that stay the same from one start to the next.

use std::net::TcpListener;
use std::path::Path;

use rand::RngExt as _;

use super::error::DevError;

/// Below those that Linux gives to whoever does not ask for one, so that it gives none of these away meanwhile.
const FROM: u16 = 15_000;
const TO: u16 = 32_000;
/// With so many in use something else is wrong.
const TRIES: u32 = 1_000;

/// Those that were written down in this file, or free ones, which are written down there.
///
/// # Errors
/// When the file cannot be used, or no port is free.
pub(super) fn ports<const N: usize>(file: &Path) -> Result<[u16; N], DevError> {
    if let Ok(text) = std::fs::read_to_string(file) {
        let ports: Vec<u16> = serde_json::from_str(&text)
            .map_err(|error| DevError::Io { what: "read the ports of an earlier start", source: error.into() })?;
        if let Ok(ports) = ports.try_into() {
            return Ok(ports);
        }
    }
    let mut ports = [0; N];
    for port in &mut ports {
        *port = free()?;
    }
    let text = serde_json::json!(ports.as_slice()).to_string();
    std::fs::write(file, text).map_err(DevError::io("write down ports"))?;
    Ok(ports)
}

fn free() -> Result<u16, DevError> {
    for _ in 0..TRIES {
        let port = rand::rng().random_range(FROM..TO);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(DevError::Io { what: "find a free port", source: std::io::ErrorKind::AddrInUse.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_stay_the_same_and_are_different_ones() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ports.json");
        let [first, second] = ports(&file).unwrap();
        assert_ne!(first, second);
        assert_eq!(ports(&file).unwrap(), [first, second]);
    }
}
