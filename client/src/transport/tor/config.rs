//! What Tor is told: its folder, bridges, and programs.

use std::path::Path;
use std::time::Duration;

use arti_client::config::pt::TransportConfigBuilder;
use arti_client::config::{BoolOrAuto, CfgPath, TorClientConfigBuilder};
use arti_client::{HsId, KeystoreSelector, TorClient, TorClientConfig};
use tor_hscrypto::pk::HsClientDescEncSecretKey;
use tor_keymgr::config::ArtiKeystoreKind;
use tor_llcrypto::pk::curve25519::StaticSecret;
use tor_rtcompat::Runtime;

use crate::transport::choice::NetworkSettings;
use crate::transport::programs::Program;
use crate::transport::trouble::TorTrouble;

/// How long an exit, or an onion service, is given to answer before another one is asked.
const STREAM_TIMEOUT: Duration = Duration::from_secs(30);

/// Names a file in the library's own format with the authorities and caches of another Tor network, for tests. A program that is
/// built for people does not know of it: whoever could set it there would be their Tor.
#[cfg(any(debug_assertions, feature = "private-tor-network"))]
pub const PRIVATE_NETWORK: &str = "ENDTOEND_PRIVATE_TOR_NETWORK";

#[cfg(any(debug_assertions, feature = "private-tor-network"))]
fn network() -> Result<TorClientConfigBuilder, String> {
    let Some(path) = std::env::var_os(PRIVATE_NETWORK) else { return Ok(TorClientConfigBuilder::default()) };
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    toml::from_str(&text).map_err(|error| error.to_string())
}

#[cfg(not(any(debug_assertions, feature = "private-tor-network")))]
fn network() -> Result<TorClientConfigBuilder, String> {
    Ok(TorClientConfigBuilder::default())
}

/// All that Tor is told.
///
/// # Errors
/// What does not fit together.
pub(super) fn config(
    folder: &Path,
    settings: &NetworkSettings,
    programs: &[Program],
) -> Result<TorClientConfig, TorTrouble> {
    let failed = |why: String| TorTrouble::Failed { why };
    let mut builder = network().map_err(failed)?;
    let below = |name: &str| CfgPath::new_literal(folder.join(name));
    builder.storage().state_dir(below("state")).cache_dir(below("cache"));
    // Keys lie in the profile's database alone.
    builder.storage().keystore().primary().kind(ArtiKeystoreKind::Ephemeral.into());
    builder.stream_timeouts().connect_timeout(STREAM_TIMEOUT);
    if !settings.bridges.is_empty() {
        // Without them it does not start: whoever gave bridges must not be seen at a public relay.
        builder.bridges().enabled(BoolOrAuto::Explicit(true));
    }
    for line in &settings.bridges {
        let bridge = line.as_str().parse().map_err(|_| failed("a bridge is not understood".to_owned()))?;
        builder.bridges().bridges().push(bridge);
    }
    for Program { transport, path } in programs {
        let name = transport.parse().map_err(|_| failed("a transport is not understood".to_owned()))?;
        let mut program = TransportConfigBuilder::default();
        // Started when a bridge needs it.
        program.protocols(vec![name]).path(CfgPath::new_literal(path)).run_on_startup(false);
        builder.bridges().transports().push(program);
    }
    builder.build().map_err(|error| failed(error.to_string()))
}

/// Gives it the keys of onion services, before it starts.
///
/// # Errors
/// What it does not take.
pub(super) fn give_keys<R: Runtime>(client: &TorClient<R>, settings: &NetworkSettings) -> Result<(), TorTrouble> {
    let failed = |why: &str| TorTrouble::Failed { why: why.to_owned() };
    for (name, key) in &settings.keys {
        let name: HsId = name.as_str().parse().map_err(|_| failed("the name of an onion service is not understood"))?;
        let key = HsClientDescEncSecretKey::from(StaticSecret::from(*key.as_bytes()));
        let given = client.insert_service_discovery_key(KeystoreSelector::Primary, name, key);
        given.map_err(|_| failed("a key of an onion service is not taken"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const FINGERPRINT: &str = "0123456789ABCDEF0123456789ABCDEF01234567";

    #[test]
    fn bridges_and_programs_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = NetworkSettings::default();
        assert!(config(folder.path(), &settings, &[]).is_ok());
        settings.bridges.push(format!("obfs4 192.0.2.3:1 {FINGERPRINT} iat-mode=0").parse().unwrap());
        let program = Program { transport: "obfs4".to_owned(), path: PathBuf::from("/usr/bin/obfs4proxy") };
        assert!(config(folder.path(), &settings, &[program]).is_ok());
        // A bridge whose program is not known is none that can be used, and without any it does not start.
        assert!(matches!(config(folder.path(), &settings, &[]), Err(TorTrouble::Failed { .. })));
    }

    #[test]
    fn only_a_build_for_tests_can_be_led_to_another_network() {
        let source = include_str!("config.rs");
        let name = concat!("ENDTOEND_", "PRIVATE_TOR_NETWORK");
        assert_eq!(source.matches(name).count(), 1, "it is named in one place");
        let guard = "#[cfg(any(debug_assertions, feature = \"private-tor-network\"))]\n";
        let (before, _) = source.split_once("pub const PRIVATE_NETWORK").unwrap();
        assert!(before.ends_with(guard));
        let (before, _) =
            source.split_once("fn network() -> Result<TorClientConfigBuilder, String> {\n    let").unwrap();
        assert!(before.ends_with(guard));
        let manifest = include_str!("../../../Cargo.toml");
        let default = manifest.lines().find(|line| line.starts_with("default = ")).unwrap();
        assert!(!default.contains("private"), "{default}");
        let workspace = include_str!("../../../../Cargo.toml");
        assert!(!workspace.contains("debug-assertions"), "a release has none");
        assert!(!workspace.contains("private-tor-network"));
    }
}
