//! Random commands from one seed, most of which fit the state that they meet.

use std::sync::LazyLock;

use endtoend_crypto_core::sealing::{self, SealingSecret};
use endtoend_protocol::UnixMillis;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use super::*;
use crate::NodeKeys;
use crate::control::command::{Admission, Rekeying};

/// Enough to meet each other often.
const NODES: usize = 12;
const TOKENS: u8 = 10;

/// Keys cost more than all the rest, and no rule looks into them.
static APPLICANTS: LazyLock<Vec<Applicant>> = LazyLock::new(|| {
    (0..NODES)
        .map(|at| {
            let keys = NodeKeys::generate(&mut rand::rng()).unwrap();
            Applicant { name: format!("node-{}", at / 2 * 2), ..applicant(keys.key(), keys.sealing()) }
        })
        .collect()
});

pub(crate) fn applicant(key: Vec<u8>, sealing: &SealingSecret) -> Applicant {
    Applicant {
        node: NodeId::of_key(&key),
        name: "one".to_owned(),
        key,
        sealing: sealing.public(),
        peer_address: "node.example:7443".to_owned(),
        client_address: "node.example:443".to_owned(),
        version: "0.1.0".to_owned(),
    }
}

/// Makes proposals.
pub(crate) struct Source {
    rng: StdRng,
    now: u64,
    authorities: u8,
}

impl Source {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), now: 1_800_000_000_000, authorities: 0 }
    }

    fn node(&mut self) -> &'static Applicant {
        &APPLICANTS[self.rng.random_range(0..NODES)]
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    fn authority(&mut self) -> AuthorityCertificate {
        self.authorities = self.authorities.wrapping_add(self.rng.random_range(0..2));
        AuthorityCertificate { der: vec![1], key: [self.authorities; 32] }
    }

    fn certificate(&mut self, state: &ClusterState) -> NodeCertificate {
        let right = state.authorities().first().filter(|_| self.rng.random_ratio(9, 10));
        let authority = right.map_or([0xff; 32], |authority| authority.key);
        NodeCertificate { der: self.bytes(3), authority, not_after: UnixMillis::new(self.now + 1000) }
    }

    fn rekeying(&mut self, state: &ClusterState, without: Option<NodeId>) -> Rekeying {
        let generation = state.sealed().generation + u64::from(self.rng.random_ratio(9, 10));
        let nodes: Vec<_> = state.approved().map(|(node, _)| node).filter(|node| Some(*node) != without).collect();
        let keys = nodes.into_iter().map(|node| (node, self.bytes(SEALED_KEY_BYTES))).collect();
        let sealed = Sealed { generation, blob: self.bytes(5), keys };
        let authority = self.rng.random_ratio(1, 2).then(|| self.authority());
        Rekeying { sealed, authority }
    }

    fn settings(&mut self) -> Settings {
        let name = ["home", "work", "-bad"][self.rng.random_range(0..3)].to_owned();
        Settings { name, auto_approve: self.rng.random(), timings: super::super::Timings::LAN }
    }

    fn founding(&mut self) -> Founding {
        let (founder, authority) = (self.node().clone(), self.authority());
        let certificate =
            NodeCertificate { der: vec![1], authority: authority.key, not_after: UnixMillis::new(self.now + 1000) };
        let keys = [(founder.node, self.bytes(SEALED_KEY_BYTES))].into();
        let sealed = Sealed { generation: 1, blob: self.bytes(5), keys };
        let cluster = ClusterId::new([self.rng.random_range(0..2); 16]);
        Founding { cluster, settings: self.settings(), founder, certificate, authority, sealed }
    }

    /// The next one, for the log of this leader.
    pub(crate) fn next(&mut self, state: &ClusterState, by: Leadership) -> Proposal {
        self.now += match self.rng.random_range(0..20) {
            0 => 24 * 3600 * 1000,
            1 => 0,
            _ => self.rng.random_range(0..60_000),
        };
        // Clocks of members differ.
        let at = UnixMillis::new(self.now - self.rng.random_range(0..5_000));
        let fence = self.rng.random_ratio(1, 4).then(|| {
            let term = by.term - u64::from(self.rng.random_ratio(1, 4));
            Leadership { term, ..by }
        });
        let node = self.node().node;
        let token = [self.rng.random_range(0..TOKENS); 16];
        let command = match self.rng.random_range(0..16) {
            _ if state.cluster().is_none() && self.rng.random_ratio(9, 10) => Command::Found(Box::new(self.founding())),
            0 => Command::Found(Box::new(self.founding())),
            1 | 2 => {
                let life = Duration::from_secs(self.rng.random_range(0..8 * 24 * 3600));
                Command::CreateToken { id: token, check: [7; 32], expires_at: UnixMillis::new(self.now).plus(life) }
            }
            3 => Command::RevokeToken { id: token },
            4 | 5 => Command::Ask { applicant: Box::new(self.node().clone()), token },
            6 | 7 => {
                let certificate = self.certificate(state);
                let old = u64::from(self.rng.random_ratio(1, 10));
                let generation = state.sealed().generation.saturating_sub(old);
                let short = usize::from(self.rng.random_ratio(1, 20));
                let sealed_key = self.bytes(SEALED_KEY_BYTES - short);
                Command::Approve { node, admission: Box::new(Admission { certificate, generation, sealed_key }) }
            }
            8 if self.rng.random() => Command::Reject { node },
            8 | 9 => Command::Activate { node },
            10 if self.rng.random() => Command::Drain { node },
            10 => Command::Undrain { node },
            11 if self.rng.random_ratio(1, 3) => {
                Command::Remove { node, rekeying: Box::new(self.rekeying(state, Some(node))) }
            }
            11 => Command::Rekey(Box::new(self.rekeying(state, None))),
            12 => Command::Renew { node, certificate: Box::new(self.certificate(state)) },
            13 => Command::ForgetAuthority { key: [self.rng.random_range(0..=self.authorities); 32] },
            14 if self.rng.random() => Command::Configure(self.settings()),
            14 => Command::Announce {
                node,
                peer_address: ["a.example:1", "no port"][self.rng.random_range(0..2)].to_owned(),
                client_address: ["a.example:2", "b.example:2"][self.rng.random_range(0..2)].to_owned(),
                version: "0.2.0".to_owned(),
            },
            _ => Command::Expire,
        };
        Proposal { at, fence, command }
    }
}

#[test]
fn a_sealed_key_has_the_length_that_sealing_gives() {
    let secret = SealingSecret::generate(&mut rand::rng());
    assert_eq!(sealing::seal(&mut rand::rng(), &secret.public(), b"", &[0; 32]).unwrap().len(), SEALED_KEY_BYTES);
}
