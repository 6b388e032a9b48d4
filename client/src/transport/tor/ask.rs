//! Asks the relays at which Tor begins what the library keeps to itself: it goes on trying whatever hinders it, and takes a wrong clock
//! or a program that has ended for one more relay that does not answer.

use std::sync::Arc;

use arti_client::config::BridgeConfigBuilder;
use arti_client::{ErrorKind, HasKind as _, TorClient, TorClientConfig};
use futures_util::future::join_all;
use rand::seq::IteratorRandom as _;
use tor_chanmgr::{ChannelUsage, Error};
use tor_dircommon::fallback::FallbackList;
use tor_linkspec::OwnedChanTarget;
use tor_rtcompat::Runtime;

use crate::transport::choice::NetworkSettings;
use crate::transport::trouble::{Said, Told, conclude};

/// So many are asked at one time.
const ASKED_MAX: usize = 3;

/// Where Tor begins: at bridges, and with none at the public relays that the library knows. With bridges nobody else is spoken with.
pub(super) fn first(settings: &NetworkSettings, config: &TorClientConfig) -> Vec<OwnedChanTarget> {
    if settings.bridges.is_empty() {
        let known: &FallbackList = config.as_ref();
        return known.iter().map(OwnedChanTarget::from_chan_target).collect();
    }
    let bridge = |text: &str| text.parse::<BridgeConfigBuilder>().ok()?.build().ok();
    let bridges = settings.bridges.iter().filter_map(|line| bridge(line.as_str()));
    bridges.map(|bridge| OwnedChanTarget::from_chan_target(&bridge)).collect()
}

/// What some of them say hinders it. Has the library's own deadlines, the longest of which is half a minute for a program that says nothing.
pub(super) async fn ask<R: Runtime>(client: Arc<TorClient<R>>, first: Vec<OwnedChanTarget>) -> Option<Said> {
    let some = first.iter().sample(&mut rand::rng(), ASKED_MAX);
    let told = join_all(some.into_iter().map(|relay| ask_one(&client, relay))).await;
    conclude(&told)
}

/// A connection that is there already has its answer.
async fn ask_one<R: Runtime>(client: &TorClient<R>, relay: &OwnedChanTarget) -> Told {
    let Ok(channels) = client.chanmgr() else { return Told::Nothing };
    match channels.get_or_launch(relay, ChannelUsage::UselessCircuit).await {
        // Whole seconds: what counts is off by hours.
        Ok((channel, _)) => Told::Clock(channel.clock_skew().as_secs_f64() as i64),
        Err(Error::Pt(_) | Error::NoSuchTransport(_)) => Told::Program,
        Err(error) if error.kind() == ErrorKind::ClockSkew => Told::RunOut,
        Err(_) => Told::Nothing,
    }
}
