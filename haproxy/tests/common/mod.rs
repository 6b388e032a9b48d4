//! Views for tests.

use endtoend_haproxy::{
    Checks, EdgeView, Limits, Member, MemberState, Membership, Mode, Name, Settings, Times, Weight,
};

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn member(address: &str) -> Member {
    Member { address: address.parse().unwrap(), ready: None, state: MemberState::Active, weight: Weight::USUAL }
}

/// Three nodes, asked by /readyz.
pub(crate) fn view() -> EdgeView {
    let ready = |address: &str, ready: &str| Member { ready: Some(ready.parse().unwrap()), ..member(address) };
    let members = [
        (name("node-a"), ready("192.0.2.1:8443", "192.0.2.1:9464")),
        (name("node-b"), Member { state: MemberState::Draining, ..ready("192.0.2.2:8443", "192.0.2.2:9464") }),
        (
            name("node-c"),
            Member { weight: Weight::try_from(50).unwrap(), ..ready("[2001:db8::3]:8443", "[2001:db8::3]:9464") },
        ),
    ];
    EdgeView {
        membership: Membership { generation: 7, members: members.into() },
        settings: Settings {
            name: name("edge-1"),
            listen: vec!["0.0.0.0:8443".parse().unwrap(), "[::]:8443".parse().unwrap()],
            socket: "/run/endtoend-edge/stats.sock".parse().unwrap(),
            mode: Mode::PassThrough,
            checks: Checks::Ready,
            limits: Limits::default(),
            times: Times::default(),
            peers: Vec::new(),
        },
    }
}
