//! Rules: which streams may share a circuit, and when another one is worth a try.
//!
//! Streams to different servers, and those for messages and for files, never share one: who sees one of them at an exit does not see
//! that the other is the same person's, and a file does not slow messages down.

use std::fmt;

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Traffic {
    /// The connection on which messages, keys and questions go.
    Messages,
    /// Files.
    Files,
    /// Registration of a further device, before there is an account here.
    Arrival,
    /// To see whether there is a way.
    Check,
}

/// Which streams share a circuit: those with the same of these. The same server is told as the address tells it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Circuit([u8; 16]);

impl Circuit {
    /// As it is told to a proxy: 32 characters from which nothing can be learnt.
    pub(super) fn name(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Debug for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Circuit(..)")
    }
}

/// Failures in a row, after which other circuits are tried.
pub const FAILURES_ANEW: u32 = 3;
/// Failures in a row, after which Tor itself begins anew.
pub const FAILURES_RESTART: u32 = 9;

/// What is to be done after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Try again.
    None,
    /// Use other circuits.
    Circuits,
    /// Begin anew.
    Restart,
}

/// The circuits of a profile. `seed` is random, so that names say nothing about the server.
#[derive(Debug)]
pub(super) struct Circuits {
    seed: [u8; 32],
    /// Counts how often other ones were wanted.
    age: u64,
    failures: u32,
}

impl Circuits {
    pub(super) const fn new(seed: [u8; 32]) -> Self {
        Self { seed, age: 0, failures: 0 }
    }

    /// The circuit for streams of this kind, until other ones are wanted.
    pub(super) fn circuit(&self, server: &str, traffic: Traffic) -> Circuit {
        let mut hasher = blake3::Hasher::new_keyed(&self.seed);
        hasher.update(&self.age.to_le_bytes());
        hasher.update(&[traffic as u8]);
        hasher.update(server.as_bytes());
        let mut name = [0; 16];
        hasher.finalize_xof().fill(&mut name);
        Circuit(name)
    }

    /// None of those until now is used for anything new.
    pub(super) const fn renew(&mut self) {
        self.age = self.age.wrapping_add(1);
    }

    /// A server was reached.
    pub(super) const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A server was not reached. Circuits are renewed when that is what helps.
    pub(super) const fn failed(&mut self) -> Remedy {
        self.failures = self.failures.saturating_add(1);
        if self.failures.is_multiple_of(FAILURES_RESTART) {
            self.renew();
            return Remedy::Restart;
        }
        if self.failures.is_multiple_of(FAILURES_ANEW) {
            self.renew();
            return Remedy::Circuits;
        }
        Remedy::None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const KINDS: [Traffic; 4] = [Traffic::Messages, Traffic::Files, Traffic::Arrival, Traffic::Check];

    #[test]
    fn servers_and_purposes_and_profiles_share_no_circuit() {
        let mut seen = HashSet::new();
        for profile in [Circuits::new([1; 32]), Circuits::new([2; 32])] {
            for server in ["a.example.org:8443", "b.example.org:8443", "a.example.org:8444"] {
                for traffic in KINDS {
                    assert!(seen.insert(profile.circuit(server, traffic)), "{server} {traffic:?}");
                    assert_eq!(profile.circuit(server, traffic), profile.circuit(server, traffic));
                }
            }
        }
        assert!(seen.iter().all(|circuit| circuit.name().len() == 32));
    }

    #[test]
    fn other_circuits_are_none_of_those_before() {
        let mut circuits = Circuits::new([1; 32]);
        let before = KINDS.map(|traffic| circuits.circuit("server", traffic));
        circuits.renew();
        assert!(KINDS.iter().all(|traffic| !before.contains(&circuits.circuit("server", *traffic))));
    }

    #[test]
    fn failures_in_a_row_bring_other_circuits_and_in_the_end_a_new_start() {
        let mut circuits = Circuits::new([1; 32]);
        let first = circuits.circuit("server", Traffic::Messages);
        let remedies: Vec<_> = (0..9).map(|_| circuits.failed()).collect();
        let (none, anew) = (Remedy::None, Remedy::Circuits);
        assert_eq!(remedies, [none, none, anew, none, none, anew, none, none, Remedy::Restart]);
        assert_ne!(circuits.circuit("server", Traffic::Messages), first);
        circuits.succeeded();
        assert_eq!([circuits.failed(), circuits.failed(), circuits.failed()], [none, none, anew]);
    }
}
