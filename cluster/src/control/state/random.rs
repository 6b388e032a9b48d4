//! Random commands from one seed, most of which fit the state that they meet.

use std::sync::LazyLock;

use endtoend_crypto_core::sealing::{self, SealingSecret};
use endtoend_protocol::UnixMillis;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use super::*;
use crate::NodeKeys;
use crate::control::command::{Admission, EdgeApplicant, Rekeying};

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
        let command = match self.rng.random_range(0..20) {
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
            15 => Command::Expire,
            16 | 17 => {
                let Applicant { node: edge, name, key, version, .. } = self.node().clone();
                Command::AskEdge { applicant: Box::new(EdgeApplicant { edge, name, key, version }), token }
            }
            18 if self.rng.random() => Command::RemoveEdge { edge: node },
            18 => Command::RenewEdge { edge: node, certificate: Box::new(self.certificate(state)) },
            _ => Command::ApproveEdge { edge: node, certificate: Box::new(self.certificate(state)) },
        };
        Proposal { at, fence, command }
    }
}

/// States that are made on purpose.
impl Source {
    pub(crate) fn say(state: &mut ClusterState, at: UnixMillis, command: Command) {
        let by = Leadership { term: 1, leader: NodeId::new(1) };
        assert_eq!(state.apply(&Proposal { at, fence: None, command }, by), Ok(true));
    }

    /// One more applicant, with a token of a minute.
    pub(crate) fn ask(state: &mut ClusterState, at: UnixMillis) -> NodeId {
        let number = state.members.len();
        let token = [100 + number as u8; 16];
        let expires_at = at.plus(Duration::from_secs(60));
        Self::say(state, at, Command::CreateToken { id: token, check: [7; 32], expires_at });
        let applicant = Box::new(Applicant { name: format!("node-{number}"), ..APPLICANTS[number].clone() });
        let node = applicant.node;
        Self::say(state, at, Command::Ask { applicant, token });
        node
    }

    pub(crate) fn approve(state: &mut ClusterState, node: NodeId, at: UnixMillis) {
        let admission = Admission {
            certificate: long_lived(at),
            generation: state.sealed.generation,
            sealed_key: vec![0; SEALED_KEY_BYTES],
        };
        Self::say(state, at, Command::Approve { node, admission: Box::new(admission) });
    }
}

fn long_lived(at: UnixMillis) -> NodeCertificate {
    NodeCertificate { der: vec![1], authority: [1; 32], not_after: at.plus(crate::CERTIFICATE_LIFE) }
}

/// A state with so many active members, whose tokens are gone, and their names in order.
pub(crate) fn settle(members: usize, at: UnixMillis) -> (ClusterState, Vec<NodeId>) {
    let mut state = ClusterState::default();
    let founding = Source::new(1).founding();
    let founder = Applicant { name: "node-0".to_owned(), ..APPLICANTS[0].clone() };
    let sealed = Sealed { keys: [(founder.node, vec![0; SEALED_KEY_BYTES])].into(), ..founding.sealed };
    let settings = Settings { name: "home".to_owned(), auto_approve: false, timings: super::super::Timings::LAN };
    let authority = AuthorityCertificate { der: vec![1], key: [1; 32] };
    let certificate = long_lived(at);
    let founding = Founding { founder, sealed, settings, authority, certificate, cluster: ClusterId::new([1; 16]) };
    Source::say(&mut state, at, Command::Found(Box::new(founding)));
    for _ in 1..members {
        let node = Source::ask(&mut state, at);
        Source::approve(&mut state, node, at);
        Source::say(&mut state, at, Command::Activate { node });
    }
    state.tokens.clear();
    let nodes = state.members.keys().copied().collect();
    (state, nodes)
}

/// Each command at least once, done and refused, and nothing of it twice. Keys are drawn anew each time.
pub(crate) fn every_command(at: UnixMillis) -> Vec<Proposal> {
    let nodes: Vec<&Applicant> = APPLICANTS.iter().take(5).collect();
    let [one, two, three] = [nodes[0].node, nodes[1].node, nodes[2].node];
    let sealed = |generation: u64, nodes: &[NodeId]| {
        let keys = nodes.iter().map(|node| (*node, vec![generation as u8; SEALED_KEY_BYTES])).collect();
        Sealed { generation, blob: vec![7; 40], keys }
    };
    let authority = |byte: u8| AuthorityCertificate { der: vec![byte; 20], key: [byte; 32] };
    let certificate = |by: u8| NodeCertificate { authority: [by; 32], ..long_lived(at) };
    let settings =
        |auto_approve| Settings { name: "home".to_owned(), auto_approve, timings: super::super::Timings::LAN };
    let token = |byte: u8, seconds: u64| Command::CreateToken {
        id: [byte; 16],
        check: [byte; 32],
        expires_at: at.plus(Duration::from_secs(seconds)),
    };
    let ask = |number: usize, token: u8| {
        let applicant = Box::new(Applicant { name: format!("node-{number}"), ..nodes[number].clone() });
        Command::Ask { applicant, token: [token; 16] }
    };
    let approve = |node| {
        let sealed_key = vec![1; SEALED_KEY_BYTES];
        Command::Approve {
            node,
            admission: Box::new(Admission { certificate: certificate(1), generation: 1, sealed_key }),
        }
    };
    let rekeying = |generation, nodes: &[NodeId], by: Option<u8>| {
        Box::new(Rekeying { sealed: sealed(generation, nodes), authority: by.map(authority) })
    };
    let announce = |address: &str| Command::Announce {
        node: two,
        peer_address: "two.example:7443".to_owned(),
        client_address: address.to_owned(),
        version: "0.2.0".to_owned(),
    };
    let ask_edge = |number: usize, token: u8| {
        let Applicant { node: edge, key, version, .. } = nodes[number].clone();
        let applicant = EdgeApplicant { edge, name: format!("edge-{number}"), key, version };
        Command::AskEdge { applicant: Box::new(applicant), token: [token; 16] }
    };
    let edge = nodes[3].node;
    let commands = [
        Command::Expire,
        Command::Found(Box::new(Founding {
            cluster: ClusterId::new([9; 16]),
            settings: settings(false),
            founder: Applicant { name: "node-0".to_owned(), ..nodes[0].clone() },
            certificate: certificate(1),
            authority: authority(1),
            sealed: sealed(1, &[one]),
        })),
        token(2, 60),
        token(3, 120),
        token(4, 3600),
        Command::RevokeToken { id: [4; 16] },
        ask(1, 2),
        ask(2, 2),
        ask(2, 3),
        approve(two),
        Command::Activate { node: two },
        Command::Activate { node: three },
        Command::Reject { node: three },
        ask(2, 3),
        Command::Drain { node: two },
        announce("two.example:443"),
        announce("nowhere"),
        Command::Undrain { node: two },
        Command::Configure(settings(true)),
        Command::Rekey(rekeying(2, &[one, two], Some(2))),
        Command::Renew { node: one, certificate: Box::new(certificate(2)) },
        Command::ForgetAuthority { key: [1; 32] },
        Command::Renew { node: two, certificate: Box::new(certificate(2)) },
        Command::ForgetAuthority { key: [1; 32] },
        Command::Remove { node: two, rekeying: rekeying(3, &[one, two], None) },
        Command::Remove { node: two, rekeying: rekeying(3, &[one], Some(3)) },
        Command::Remove { node: one, rekeying: rekeying(4, &[], None) },
        token(5, 100_000),
        Command::Expire,
        token(6, 3600),
        ask_edge(2, 5),
        ask_edge(3, 5),
        ask_edge(3, 6),
        Command::RenewEdge { edge, certificate: Box::new(certificate(3)) },
        Command::ApproveEdge { edge, certificate: Box::new(certificate(2)) },
        Command::ApproveEdge { edge, certificate: Box::new(certificate(3)) },
        Command::RenewEdge { edge, certificate: Box::new(NodeCertificate { der: vec![2], ..certificate(3) }) },
        ask_edge(4, 6),
        Command::RemoveEdge { edge: nodes[4].node },
        Command::RemoveEdge { edge },
        ask_edge(3, 6),
        token(7, 3600),
        ask_edge(4, 7),
        Command::ApproveEdge { edge: nodes[4].node, certificate: Box::new(certificate(3)) },
    ];
    let fence = |step: usize| (step % 5 == 4).then_some(Leadership { term: 1 + step as u64 / 10, leader: one });
    let proposal = |(step, command): (usize, Command)| Proposal {
        at: at.plus(Duration::from_secs(3 * step as u64)),
        fence: fence(step),
        command,
    };
    commands.into_iter().enumerate().map(proposal).collect()
}

#[test]
fn a_sealed_key_has_the_length_that_sealing_gives() {
    let secret = SealingSecret::generate(&mut rand::rng());
    assert_eq!(sealing::seal(&mut rand::rng(), &secret.public(), b"", &[0; 32]).unwrap().len(), SEALED_KEY_BYTES);
}
