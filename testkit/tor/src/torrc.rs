//! What each `tor` is told.
//!
//! The authority votes for what it has not measured, and gives everybody every flag. Its voting period is so long that no
//! consensus changes under a test, unless the test is about that, and its first vote is not waited for but called:
//! [`Rhythm::begins_in`].

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use crate::addresses::Addresses;
use crate::clock;
use crate::keys::Authority;

/// How often the authority votes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rhythm {
    /// Tor wants the first period to divide half an hour, and none below 10 s.
    period_seconds: u64,
    /// For how many of them a vote is good; at least two.
    valid_periods: u64,
}

/// Nothing changes for half an hour, nor runs out for six.
pub(crate) const CALM: Rhythm = Rhythm { period_seconds: 1_800, valid_periods: 12 };
/// As in a day of the public network, in a quarter of an hour: what a client knows has run out after 40 s.
pub(crate) const RESTLESS: Rhythm = Rhythm { period_seconds: 20, valid_periods: 2 };

/// Between the beginning of a period's vote and its end, twice.
const DELAY_SECONDS: u64 = 2;

/// Listeners of one program, by number: see [`Addresses::at`].
pub(crate) const OR: u8 = 0;
pub(crate) const DIRECTORY: u8 = 1;
pub(crate) const OBFS4: u8 = 2;

/// When a voting period begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Period(u64);

impl Rhythm {
    /// A period that begins so long from now, and others after it.
    fn begins_in(self, wait: Duration) -> Period {
        Period(clock::of_the_day_in(wait) % self.period_seconds)
    }

    /// One as late as can be.
    pub(crate) fn far_away(self) -> Period {
        self.begins_in(Duration::from_secs(self.period_seconds / 2))
    }

    /// The nearest at which a vote is complete.
    pub(crate) fn soon(self) -> Period {
        self.begins_in(Duration::from_secs(2 * DELAY_SECONDS + 1))
    }
}

/// Of every program.
pub(crate) fn common(name: &str, data: &Path, authority: &Authority, addresses: &Addresses) -> String {
    let outbound = addresses.outbound().map(|ip| format!("OutboundBindAddress {ip}\n")).unwrap_or_default();
    format!(
        "TestingTorNetwork 1\nDataDirectory {}\nNickname {name}\nLog notice stdout\nSafeLogging 0\nRunAsDaemon 0\n\
         AvoidDiskWrites 0\nShutdownWaitLength 0\nDormantCanceledByStartup 1\n{outbound}{}",
        data.display(),
        authority.line(),
    )
}

/// Of one that passes on what others say. `names` is whom it asks for the addresses of names.
pub(crate) fn relay(ip: Ipv4Addr, or: SocketAddr, names: &Path) -> String {
    format!(
        "SocksPort 0\nAddress {ip}\nORPort {or} IPv4Only\nAssumeReachable 1\nExitRelay 1\nExitPolicyRejectPrivate 0\n\
         ExitPolicy accept *:*\nExtendAllowPrivateAddresses 1\nDirAllowPrivateAddresses 1\n\
         ServerDNSResolvConfFile {}\nServerDNSDetectHijacking 0\nServerDNSTestAddresses\n\
         ServerDNSAllowNonRFC953Hostnames 1\n",
        names.display(),
    )
}

/// Of the authority, beside what relays have.
pub(crate) fn authority(directory: SocketAddr, rhythm: Rhythm, Period(offset): Period) -> String {
    let Rhythm { period_seconds: period, valid_periods } = rhythm;
    // In a testing network, C tor has a period of onion services last 24 of voting and looks at no parameter; arti knows the parameter
    // alone. So the authority votes for what C tor does.
    let onion_period_minutes = 24 * period / 60;
    format!(
        "DirPort {directory}\nAuthoritativeDirectory 1\nV3AuthoritativeDirectory 1\nContactInfo authority@test.invalid\n\
         V3AuthVotingInterval {period}\nV3AuthVoteDelay {DELAY_SECONDS}\nV3AuthDistDelay {DELAY_SECONDS}\n\
         V3AuthNIntervalsValid {valid_periods}\nTestingV3AuthInitialVotingInterval {period}\n\
         TestingV3AuthInitialVoteDelay {DELAY_SECONDS}\nTestingV3AuthInitialDistDelay {DELAY_SECONDS}\n\
         TestingV3AuthVotingStartOffset {offset}\nTestingAuthDirTimeToLearnReachability 0\nAuthDirTestReachability 0\n\
         AuthDirMaxServersPerAddr 0\nAuthDirPinKeys 0\nAuthDirSharedRandomness 0\nTestingDirAuthVoteExit *\n\
         TestingDirAuthVoteGuard *\nTestingDirAuthVoteHSDir *\nTestingMinExitFlagThreshold 0\n\
         MinUptimeHidServDirectoryV2 0\nConsensusParams hsdir_interval={onion_period_minutes}\n"
    )
}

/// Of the bridge, beside what relays have.
pub(crate) fn bridge(obfs4proxy: &Path, listens: SocketAddr) -> String {
    format!(
        "BridgeRelay 1\nPublishServerDescriptor 0\nBridgeDistribution none\nExtORPort auto\n\
         ServerTransportPlugin obfs4 exec {}\nServerTransportListenAddr obfs4 {listens}\n",
        obfs4proxy.display(),
    )
}
