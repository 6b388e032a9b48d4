//! How it stands with Tor, and the rules by which a silent start becomes a reason that somebody can act on.
//!
//! The Tor library does not say on its own that a network is away: it goes on trying. So what its sockets meet is counted, and the
//! start has deadlines of ours.

use std::io;
use std::time::Duration;

/// A start that gets no further for so long is in trouble. Through a bridge everything takes longer.
pub const STALL_MAX: Duration = Duration::from_secs(30);
/// The same through bridges.
pub const STALL_MAX_BRIDGED: Duration = Duration::from_secs(60);
/// The same when relays are reached: only after a minute the library says that it is the clock.
pub const STALL_MAX_REACHED: Duration = Duration::from_secs(75);
/// So soon bridges are given up that all refuse.
pub const REFUSED_AFTER: Duration = Duration::from_secs(15);
/// So soon it is known that there is no network, when no socket even leaves this machine.
pub const OFFLINE_AFTER: Duration = Duration::from_secs(5);
/// A start that gets no further for so long asks the relays at which it begins what is wrong, and again each time it has passed.
pub const ASK_AFTER: Duration = Duration::from_secs(10);
/// A clock that is off by less keeps nobody from Tor: a list of relays is taken from a day before it is good until three days after.
pub const SKEW_MIN: Duration = Duration::from_secs(12 * 3600);
/// A start that has been in trouble for so long begins anew: what was learnt about relays that did not answer is forgotten then.
pub const ANEW_AFTER: Duration = Duration::from_secs(90);

/// How it stands with Tor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TorState {
    /// Nothing needs it.
    #[default]
    Off,
    /// It learns of the relays that there are.
    Starting {
        /// 0 to 100.
        percent: u8,
    },
    /// It can be used. Nothing has been reached through it yet.
    Ready,
    /// The server that is meant, by its pinned keys, was reached through it.
    Verified,
    /// It cannot be used. It is tried again unless a person must act.
    Trouble {
        /// 0 to 100: how far it came.
        percent: u8,
        /// Why not.
        trouble: TorTrouble,
    },
}

impl TorState {
    /// Stable name, for `--json`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Starting { .. } => "starting",
            Self::Ready => "ready",
            Self::Verified => "verified",
            Self::Trouble { .. } => "trouble",
        }
    }

    /// Why it cannot be used.
    pub const fn trouble(&self) -> Option<&TorTrouble> {
        match self {
            Self::Trouble { trouble, .. } => Some(trouble),
            Self::Off | Self::Starting { .. } | Self::Ready | Self::Verified => None,
        }
    }

    /// How far it has come, 0 to 100.
    pub const fn percent(&self) -> u8 {
        match self {
            Self::Off => 0,
            Self::Starting { percent } | Self::Trouble { percent, .. } => *percent,
            Self::Ready | Self::Verified => 100,
        }
    }
}

/// Why Tor cannot be used. Its text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TorTrouble {
    /// No socket leaves this machine.
    #[error("there is no network: Tor reaches nothing at all")]
    NoNetwork,
    /// Relays or what they say are from another time than this machine's.
    #[error("the clock of this machine is wrong, so Tor trusts no relay: set date, time and time zone")]
    ClockWrong,
    /// There is a network, and nothing of Tor is reached.
    #[error("this network hinders Tor: give it bridges with `tor bridges`, or try another network")]
    Blocked,
    /// There are bridges, and none of them answers.
    #[error("no bridge answers: they may be blocked too, or gone; get others")]
    BridgeRefused,
    /// A transport of a bridge has no program here.
    #[error("no program speaks {transport} here{}", wanted_text(wanted))]
    ProgramMissing {
        /// As the bridge names it.
        transport: String,
        /// What would do; empty when somebody has to name one.
        wanted: Vec<String>,
    },
    /// A program of a transport ended, or does not answer.
    #[error("the program that speaks to bridges does not work: run it by hand to see why, or name another one")]
    ProgramFailed,
    /// The folder for Tor's state is another's, or can be read by others.
    #[error("Tor's folder in the profile cannot be used: {why}")]
    Folder {
        /// What is wrong with it.
        why: String,
    },
    /// Nothing gets any further, and nothing says why.
    #[error("Tor gets no further: are date, time and time zone of this machine right? Bridges may help: `tor bridges`")]
    Stuck,
    /// The library would not start.
    #[error("Tor does not start: {why}")]
    Failed {
        /// What it says.
        why: String,
    },
    /// The program was built without Tor.
    #[error(
        "this program was built without Tor; a SOCKS5 proxy of a Tor that runs can be used: --network socks5://127.0.0.1:9050"
    )]
    NotBuilt,
}

impl TorTrouble {
    /// Stable name, for `--json`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NoNetwork => "no_network",
            Self::ClockWrong => "clock_wrong",
            Self::Blocked => "blocked",
            Self::BridgeRefused => "bridge_refused",
            Self::ProgramMissing { .. } => "program_missing",
            Self::ProgramFailed => "program_failed",
            Self::Folder { .. } => "folder",
            Self::Stuck => "stuck",
            Self::Failed { .. } => "failed",
            Self::NotBuilt => "not_built",
        }
    }

    /// Whether a person has to act before another try makes sense.
    pub const fn is_permanent(&self) -> bool {
        match self {
            Self::ProgramMissing { .. } | Self::Folder { .. } | Self::Failed { .. } | Self::NotBuilt => true,
            Self::NoNetwork
            | Self::ClockWrong
            | Self::Blocked
            | Self::BridgeRefused
            | Self::ProgramFailed
            | Self::Stuck => false,
        }
    }
}

fn wanted_text(wanted: &[String]) -> String {
    match wanted {
        [] => ": name one with `tor bridges --program`".to_owned(),
        [named] if named.starts_with('/') => format!(": {named} is not there, or no program"),
        _ => format!(": install {}, or name it with `tor bridges --program`", wanted.join(" or ")),
    }
}

/// What Tor's sockets have met since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// Connections that came about.
    pub connected: u32,
    /// Those that nobody took: the other machine said so.
    pub refused: u32,
    /// Those that did not leave this machine, or its network.
    pub no_route: u32,
    /// Any other failure.
    pub failed: u32,
}

impl Met {
    /// Counts one.
    pub fn note(&mut self, outcome: Result<(), io::ErrorKind>) {
        let count = match outcome {
            Ok(()) => &mut self.connected,
            Err(io::ErrorKind::ConnectionRefused) => &mut self.refused,
            Err(
                io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkDown
                | io::ErrorKind::AddrNotAvailable,
            ) => &mut self.no_route,
            Err(_) => &mut self.failed,
        };
        *count = count.saturating_add(1);
    }

    const fn is_refused(self) -> bool {
        self.refused > 0 && self.connected == 0 && self.failed == 0 && self.no_route == 0
    }

    const fn is_offline(self) -> bool {
        self.no_route > 0 && self.connected == 0 && self.refused == 0 && self.failed == 0
    }
}

/// What the library says hinders it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing is reached.
    Offline,
    /// Something is reached, and it is no relay.
    Filtered,
    /// Times do not fit.
    Clock,
    /// A program for a transport.
    Program,
    /// Something else.
    Other,
}

/// What one of the relays at which Tor begins has told when it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// So many seconds our clock is before its own; behind it, when there are less than none.
    Clock(i64),
    /// What it proves itself with has run out by our clock.
    RunOut,
    /// The program through which it is spoken to does not work.
    Program,
    /// Nothing.
    Nothing,
}

/// What their answers come to. Clocks count when all that have one agree: a single relay may have the wrong one.
pub fn conclude(told: &[Told]) -> Option<Said> {
    let least = i64::try_from(SKEW_MIN.as_secs()).unwrap_or(i64::MAX);
    let all = |holds: &dyn Fn(&Told) -> bool| {
        told.iter().any(holds) && told.iter().all(|one| holds(one) || *one == Told::Nothing)
    };
    let fast = |one: &Told| matches!(one, Told::RunOut) || matches!(one, Told::Clock(by) if *by >= least);
    let slow = |one: &Told| matches!(one, Told::Clock(by) if *by <= -least);
    if all(&fast) || all(&slow) {
        return Some(Said::Clock);
    }
    all(&|one| *one == Told::Program).then_some(Said::Program)
}

/// A start of Tor: what was heard, and since when nothing more was. Has no clock of its own.
#[derive(Clone, Debug)]
pub struct Start {
    bridged: bool,
    /// Through programs, so that sockets say nothing about the network: they lead to this machine.
    by_program: bool,
    percent: u8,
    ready: bool,
    said: Option<Said>,
    began: Duration,
    moved: Duration,
    troubled: Option<Duration>,
}

impl Start {
    /// `now` is any clock that goes on, since any moment.
    pub const fn new(now: Duration, bridged: bool, by_program: bool) -> Self {
        Self { bridged, by_program, percent: 0, ready: false, said: None, began: now, moved: now, troubled: None }
    }

    /// The library has said how far it is, and what hinders it.
    pub fn heard(&mut self, now: Duration, percent: u8, ready: bool, said: Option<Said>) {
        if percent > self.percent || (ready && !self.ready) {
            (self.moved, self.troubled, self.said) = (now, None, None);
        }
        // What it has said once of a clock or a program it does not repeat.
        (self.percent, self.ready, self.said) = (percent.min(100), ready, said.or(self.said));
    }

    /// Relays were asked, and that is what their answers come to.
    pub fn asked(&mut self, said: Said) {
        self.said = Some(said);
    }

    /// For how long it has got no further.
    pub fn silent(&self, now: Duration) -> Duration {
        now.saturating_sub(self.moved)
    }

    /// How it stands, by what the sockets have met.
    pub fn state(&mut self, now: Duration, met: Met) -> TorState {
        let percent = self.percent;
        if self.ready {
            return TorState::Ready;
        }
        match self.trouble(now, met) {
            Some(trouble) => {
                self.troubled.get_or_insert(now);
                TorState::Trouble { percent, trouble }
            }
            None => TorState::Starting { percent },
        }
    }

    fn trouble(&self, now: Duration, met: Met) -> Option<TorTrouble> {
        let stall = match (met.connected, self.bridged) {
            (0, false) => STALL_MAX,
            (0, true) => STALL_MAX_BRIDGED,
            // To a program on this machine, which says nothing.
            _ if self.by_program => STALL_MAX_BRIDGED,
            _ => STALL_MAX_REACHED,
        };
        let refused = self.bridged && !self.by_program && met.is_refused();
        let (silent, age) = (self.silent(now), now.saturating_sub(self.began));
        let offline = !self.by_program && met.is_offline();
        match self.said {
            _ if offline && age >= OFFLINE_AFTER => Some(TorTrouble::NoNetwork),
            _ if silent < OFFLINE_AFTER => None,
            // These do not mend themselves: no use in waiting.
            Some(Said::Clock) => Some(TorTrouble::ClockWrong),
            Some(Said::Program) => Some(TorTrouble::ProgramFailed),
            _ if refused && silent >= REFUSED_AFTER => Some(TorTrouble::BridgeRefused),
            _ if silent < stall => None,
            _ if self.bridged && self.percent < 100 && met.connected == 0 => Some(TorTrouble::BridgeRefused),
            Some(Said::Offline) if met.connected == 0 && met.refused == 0 => Some(TorTrouble::NoNetwork),
            _ if self.bridged => Some(TorTrouble::BridgeRefused),
            Some(Said::Offline | Said::Filtered) => Some(TorTrouble::Blocked),
            Some(Said::Other) | None if met.connected == 0 => Some(TorTrouble::Blocked),
            Some(Said::Other) | None => Some(TorTrouble::Stuck),
        }
    }

    /// Whether it has been in trouble for so long that it should begin anew.
    pub fn is_over(&self, now: Duration) -> bool {
        self.troubled.is_some_and(|since| now.saturating_sub(since) >= ANEW_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Duration = Duration::from_secs(1);

    fn met(connected: u32, refused: u32, no_route: u32, failed: u32) -> Met {
        Met { connected, refused, no_route, failed }
    }

    /// What a start that got no further comes to.
    fn stalled(bridged: bool, percent: u8, said: Option<Said>, met: Met) -> TorState {
        let mut start = Start::new(Duration::ZERO, bridged, false);
        start.heard(Duration::ZERO, percent, false, said);
        let stall = match (met.connected, bridged) {
            (0, false) => STALL_MAX,
            (0, true) => STALL_MAX_BRIDGED,
            _ => STALL_MAX_REACHED,
        };
        let before = start.state(stall - Duration::from_millis(1), met);
        let known_before =
            matches!(said, Some(Said::Clock | Said::Program)) || met.is_offline() || (bridged && met.is_refused());
        assert!(matches!(before, TorState::Starting { .. }) || known_before, "{before:?}");
        start.state(stall, met)
    }

    #[test]
    fn each_silence_gets_its_reason() {
        for (bridged, said, sockets, trouble) in [
            (false, None, met(0, 0, 3, 0), TorTrouble::NoNetwork),
            (false, Some(Said::Offline), met(0, 0, 0, 4), TorTrouble::NoNetwork),
            (false, None, met(0, 0, 0, 4), TorTrouble::Blocked),
            (false, Some(Said::Offline), met(0, 4, 0, 0), TorTrouble::Blocked),
            (false, Some(Said::Filtered), met(4, 0, 0, 0), TorTrouble::Blocked),
            (false, Some(Said::Clock), met(4, 0, 0, 0), TorTrouble::ClockWrong),
            (false, None, met(4, 0, 0, 0), TorTrouble::Stuck),
            (true, None, met(0, 2, 0, 0), TorTrouble::BridgeRefused),
            (true, Some(Said::Offline), met(0, 0, 0, 2), TorTrouble::BridgeRefused),
            (true, Some(Said::Filtered), met(2, 0, 0, 0), TorTrouble::BridgeRefused),
            (true, Some(Said::Program), met(0, 0, 0, 0), TorTrouble::ProgramFailed),
            (true, Some(Said::Clock), met(1, 0, 0, 0), TorTrouble::ClockWrong),
        ] {
            let expected = TorState::Trouble { percent: 7, trouble };
            assert_eq!(stalled(bridged, 7, said, sockets), expected, "{bridged} {said:?} {sockets:?}");
        }
    }

    #[test]
    fn a_start_that_moves_is_not_in_trouble() {
        let mut start = Start::new(Duration::ZERO, false, false);
        for percent in 0..60 {
            let now = STALL_MAX.mul_f64(0.9) * u32::from(percent);
            start.heard(now, percent + 1, false, None);
            assert_eq!(start.state(now, met(1, 0, 0, 0)), TorState::Starting { percent: percent + 1 });
        }
        start.heard(ONE, 100, true, None);
        assert_eq!(start.state(STALL_MAX * 1000, met(1, 0, 0, 0)), TorState::Ready, "and for days");
    }

    #[test]
    fn no_network_is_known_soon_and_forgotten_when_there_is_one() {
        let mut start = Start::new(ONE, false, false);
        assert_eq!(start.state(ONE, met(0, 0, 1, 0)), TorState::Starting { percent: 0 });
        let trouble = TorTrouble::NoNetwork;
        assert_eq!(start.state(ONE + OFFLINE_AFTER, met(0, 0, 9, 0)), TorState::Trouble { percent: 0, trouble });
        assert_eq!(start.state(ONE + OFFLINE_AFTER, met(1, 0, 9, 0)), TorState::Starting { percent: 0 });
    }

    #[test]
    fn bridges_that_refuse_are_given_up_soon_and_behind_a_program_nobody_knows() {
        let refused = met(0, 3, 0, 0);
        let state = |by_program, at| Start::new(Duration::ZERO, true, by_program).state(at, refused);
        let starting = TorState::Starting { percent: 0 };
        assert_eq!(state(false, REFUSED_AFTER - ONE), starting);
        assert_eq!(state(false, REFUSED_AFTER), TorState::Trouble { percent: 0, trouble: TorTrouble::BridgeRefused });
        assert_eq!(state(true, REFUSED_AFTER), starting);
    }

    #[test]
    fn behind_a_program_sockets_say_nothing_about_the_network() {
        let mut start = Start::new(Duration::ZERO, true, true);
        let state = start.state(STALL_MAX_BRIDGED - ONE, met(0, 0, 9, 0));
        assert_eq!(state, TorState::Starting { percent: 0 });
    }

    #[test]
    fn what_relays_tell_counts_when_they_agree() {
        let day = 24 * 3600;
        let (clock, program) = (Some(Said::Clock), Some(Said::Program));
        for (told, said) in [
            (&[][..], None),
            (&[Told::Nothing, Told::Nothing], None),
            (&[Told::Clock(60)], None),
            (&[Told::Clock(-2 * day)], clock),
            (&[Told::Clock(-2 * day), Told::Nothing, Told::Clock(-2 * day)], clock),
            (&[Told::Clock(5 * day), Told::RunOut], clock),
            (&[Told::Clock(-2 * day), Told::Clock(2 * day)], None),
            (&[Told::Clock(-2 * day), Told::Clock(0)], None),
            (&[Told::Program, Told::Nothing], program),
            (&[Told::Program, Told::Clock(0)], None),
        ] {
            assert_eq!(conclude(told), said, "{told:?}");
        }
    }

    #[test]
    fn what_was_said_is_forgotten_when_it_gets_further() {
        let mut start = Start::new(Duration::ZERO, true, true);
        start.asked(Said::Program);
        let failed = TorState::Trouble { percent: 0, trouble: TorTrouble::ProgramFailed };
        assert_eq!(start.state(ASK_AFTER, met(0, 0, 0, 0)), failed);
        start.heard(2 * ASK_AFTER, 5, false, None);
        assert_eq!(start.state(3 * ASK_AFTER, met(1, 0, 0, 0)), TorState::Starting { percent: 5 });
    }

    #[test]
    fn after_a_long_trouble_it_begins_anew() {
        let mut start = Start::new(Duration::ZERO, false, false);
        let found = STALL_MAX;
        assert!(matches!(start.state(found, met(0, 0, 0, 1)), TorState::Trouble { .. }));
        assert!(!start.is_over(found + ANEW_AFTER - ONE));
        assert!(start.is_over(found + ANEW_AFTER));
        start.heard(found + ONE, 10, false, None);
        assert!(!start.is_over(found + ANEW_AFTER), "it has moved meanwhile");
    }

    #[test]
    fn what_sockets_meet_is_counted_by_what_it_says() {
        let mut met = Met::default();
        for outcome in [
            Ok(()),
            Err(io::ErrorKind::ConnectionRefused),
            Err(io::ErrorKind::NetworkUnreachable),
            Err(io::ErrorKind::HostUnreachable),
            Err(io::ErrorKind::TimedOut),
        ] {
            met.note(outcome);
        }
        assert_eq!(met, super::Met { connected: 1, refused: 1, no_route: 2, failed: 1 });
    }

    #[test]
    fn a_person_is_waited_for_only_where_nobody_else_can_mend_it() {
        let missing = TorTrouble::ProgramMissing { transport: "obfs4".to_owned(), wanted: Vec::new() };
        for trouble in [missing, TorTrouble::NotBuilt, TorTrouble::Folder { why: String::new() }] {
            assert!(trouble.is_permanent(), "{trouble}");
        }
        for trouble in [TorTrouble::NoNetwork, TorTrouble::ClockWrong, TorTrouble::Blocked, TorTrouble::Stuck] {
            assert!(!trouble.is_permanent(), "{trouble}");
        }
    }
}
