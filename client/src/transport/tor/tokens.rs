//! The library's word for circuits that nothing else may share.

use std::collections::HashMap;

use arti_client::IsolationToken;

use crate::transport::circuits::Circuit;

/// Circuits that are known by name. At the bound they are forgotten, and streams get other ones.
const CIRCUITS_MAX: usize = 64;

/// A token for each circuit. The library puts streams with different ones on different circuits, at all three relays.
#[derive(Default)]
pub(super) struct Tokens(HashMap<Circuit, IsolationToken>);

impl Tokens {
    pub(super) fn of(&mut self, circuit: Circuit) -> IsolationToken {
        if self.0.len() >= CIRCUITS_MAX && !self.0.contains_key(&circuit) {
            self.0.clear();
        }
        *self.0.entry(circuit).or_insert_with(IsolationToken::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Traffic;
    use crate::transport::circuits::Circuits;

    #[test]
    fn each_server_and_purpose_has_a_token_of_its_own_and_keeps_it_until_other_circuits_are_wanted() {
        let mut circuits = Circuits::new([1; 32]);
        let mut tokens = Tokens::default();
        let mut all = |circuits: &Circuits| {
            let mut of = |server: &str, traffic| tokens.of(circuits.circuit(server, traffic));
            let kinds = [Traffic::Messages, Traffic::Files, Traffic::Arrival, Traffic::Check];
            ["a.example.org:8443", "b.example.org:8443"].map(|server| kinds.map(|traffic| of(server, traffic))).concat()
        };
        let first = all(&circuits);
        assert_eq!(all(&circuits), first);
        circuits.renew();
        let seen = [first, all(&circuits)].concat();
        for (at, token) in seen.iter().enumerate() {
            assert!(seen.iter().skip(at + 1).all(|other| other != token), "{at}");
        }
    }

    #[test]
    fn at_the_bound_no_token_comes_back_to_another_circuit() {
        let mut tokens = Tokens::default();
        let circuits = Circuits::new([1; 32]);
        let seen: Vec<_> = (0..=CIRCUITS_MAX)
            .map(|server| tokens.of(circuits.circuit(&format!("{server}:1"), Traffic::Messages)))
            .collect();
        let again = tokens.of(circuits.circuit("0:1", Traffic::Messages));
        assert!(!seen.contains(&again));
    }
}
