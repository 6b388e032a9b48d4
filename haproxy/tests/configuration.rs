//! What is rendered: golden files, and whatever a view may hold before a real `haproxy -c`.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use common::{member, name, view};
use endtoend_haproxy::{
    Checks, EdgeView, Limits, Member, MemberState, Mode, Name, NotAView, Peer, Structure, Terminate, Times, Weight,
    render,
};
use endtoend_testkit_haproxy::{complaint, folder};
use proptest::prelude::*;

fn with_peers() -> EdgeView {
    let mut view = view();
    let peer = |text, address: &str| Peer { name: name(text), address: address.parse().unwrap() };
    view.settings.peers = vec![peer("edge-1", "10.0.0.1:10000"), peer("edge-2", "10.0.0.2:10000")];
    view.settings.limits.exempt = vec!["198.51.100.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    view.settings.checks = Checks::Connect;
    view
}

fn terminating(folder: &Path, hybrid: bool) -> EdgeView {
    let mut view = view();
    let path = |name: &str| folder.join(name).to_str().unwrap().parse().unwrap();
    let (certificate, node_authority) = (path("edge.pem"), path("nodes.pem"));
    let terminate = Terminate { certificate, node_authority, node_name: name("chat.example.org"), hybrid };
    view.settings.mode = Mode::Terminate(terminate);
    view
}

#[test]
fn the_same_view_gives_the_same_text() {
    let certificates = Path::new("/etc/endtoend");
    let cases = [
        ("pass-through", view()),
        ("peers", with_peers()),
        ("terminate", terminating(certificates, false)),
        ("terminate-hybrid", terminating(certificates, true)),
    ];
    for (case, view) in cases {
        view.validate().unwrap();
        let text = render(&view).text;
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{case}.cfg"));
        if std::env::var_os("GOLDEN").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&golden).unwrap(), text, "{case}: GOLDEN=1 writes it anew");
    }
}

#[test]
fn only_what_is_no_server_is_structure() {
    let structure = |change: fn(&mut EdgeView)| {
        let mut view = view();
        change(&mut view);
        render(&view).structure
    };
    let same = structure(|_| ());
    assert_eq!(same, structure(|view| view.membership.generation += 1));
    assert_eq!(same, structure(|view| view.membership.members.retain(|other, _| *other != name("node-a"))));
    assert_eq!(same, structure(|view| view.settings.limits.node_connections_max = 7));
    for other in [
        structure(|view| view.settings.limits.connections_max += 1),
        structure(|view| view.settings.times.check_interval_ms += 1),
        structure(|view| view.settings.checks = Checks::Connect),
        structure(|view| view.settings.name = name("edge-2")),
    ] {
        assert_ne!(same, other);
    }
    let description =
        render(&view()).text.lines().find_map(|line| line.trim().strip_prefix("description ")).unwrap().to_owned();
    assert_eq!(Structure::of_description(&description), Some(same));
    assert_eq!(["", "endtoend-edge/", "endtoend-edge/zz", "other"].map(Structure::of_description), [const { None }; 4]);
}

#[test]
fn what_cannot_be_applied_is_refused() {
    let refused = |change: &dyn Fn(&mut EdgeView)| {
        let mut view = view();
        change(&mut view);
        view.validate().unwrap_err()
    };
    let (a, address) = (name("node-a"), |text: &str| text.parse::<SocketAddr>().unwrap());
    assert_eq!(refused(&|view| view.settings.listen.clear()), NotAView::NoAddress);
    for bad in ["0.0.0.0:1", "192.0.2.1:0", "[::]:1", "224.0.0.1:1"].map(address) {
        let not = refused(&|view| view.membership.members.get_mut(&a).unwrap().address = bad);
        assert_eq!(not, NotAView::NotConnectable { name: a.clone(), address: bad });
    }
    let twice = refused(&|view| {
        let same = view.membership.members[&a].clone();
        view.membership.members.insert(name("z"), same);
    });
    assert_eq!(twice, NotAView::Twice { name: name("z"), address: address("192.0.2.1:8443") });
    assert_eq!(
        refused(&|view| view.membership.members.get_mut(&a).unwrap().ready = None),
        NotAView::NoReadyAddress(a.clone())
    );
    let peer = Peer { name: name("edge-2"), address: address("10.0.0.1:1") };
    assert_eq!(refused(&|view| view.settings.peers = vec![peer.clone()]), NotAView::NotAPeer(name("edge-1")));
    let range = refused(&|view| view.settings.limits.connections_max = 0);
    assert_eq!(range, NotAView::OutOfRange { name: "connections_max", value: 0, min: 1, max: 1_000_000 });
    let many = refused(&|view| {
        for index in 0..300_u16 {
            view.membership.members.insert(name(&format!("n{index}")), member(&format!("192.0.2.9:{}", 1000 + index)));
        }
    });
    assert_eq!(many, NotAView::TooMany { what: "nodes", count: 303, max: 256 });
}

#[test]
fn an_edge_that_ends_tls_is_accepted() {
    let folder = folder();
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=edge"])
        .args(["-days", "2", "-keyout", "key.pem", "-out", "nodes.pem"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let read = |file| std::fs::read_to_string(folder.path().join(file)).unwrap();
    std::fs::write(folder.path().join("edge.pem"), read("key.pem") + &read("nodes.pem")).unwrap();
    assert_eq!(complaint(&render(&terminating(folder.path(), false)).text), None);
}

fn names() -> impl Strategy<Value = Name> {
    "[a-z0-9][a-z0-9._-]{0,63}".prop_map(|text| name(&text))
}

fn addresses() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), 1_u16..).prop_map(SocketAddr::from)
}

fn members() -> impl Strategy<Value = Member> {
    (addresses(), addresses(), any::<bool>(), 1_u16..=256).prop_map(|(address, ready, drains, weight)| Member {
        address,
        ready: Some(ready),
        state: if drains { MemberState::Draining } else { MemberState::Active },
        weight: Weight::try_from(weight).unwrap(),
    })
}

fn views() -> impl Strategy<Value = EdgeView> {
    let limits =
        (1_u32..100_000, 1_u32..=1_000_000, 1_u32..=1_000_000, 1_u32..=1_000_000).prop_map(|(all, node, one, rate)| {
            Limits {
                connections_max: all,
                node_connections_max: node,
                source_connections_max: one,
                source_rate_max: rate,
                exempt: vec!["10.0.0.0/8".parse().unwrap()],
            }
        });
    let times = (10_u32..=60_000, 1_000_u32..=86_400_000, 50_u32..=60_000, 1_u32..=3_600_000, 1_000_u32..=604_800_000);
    let times = times.prop_map(|(connect_ms, idle_ms, check_interval_ms, slow_start_ms, hard_stop_after_ms)| Times {
        connect_ms,
        idle_ms,
        check_interval_ms,
        slow_start_ms,
        hard_stop_after_ms,
    });
    let members = proptest::collection::btree_map(names(), members(), 0..20);
    let listen = proptest::collection::vec(addresses(), 1..4);
    (names(), listen, limits, times, members, any::<bool>()).prop_map(
        |(edge, listen, limits, times, members, connect)| {
            let mut view = view();
            view.settings.peers = vec![Peer { name: edge.clone(), address: "10.0.0.1:10000".parse().unwrap() }];
            (view.settings.name, view.settings.listen) = (edge, listen);
            (view.settings.limits, view.settings.times) = (limits, times);
            view.settings.checks = if connect { Checks::Connect } else { Checks::Ready };
            view.membership.members = members;
            view
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn haproxy_accepts_whatever_a_view_may_hold(view in views()) {
        prop_assume!(view.validate().is_ok());
        prop_assert_eq!(complaint(&render(&view).text), None);
    }

    /// Whatever a name is made of that comes from elsewhere: it is refused, or it changes nothing but itself.
    #[test]
    fn no_name_becomes_a_directive(text in any::<String>(), path in any::<String>()) {
        let plain = render(&view()).text.lines().count();
        if let Ok(odd) = text.parse::<Name>() {
            let mut view = view();
            let member = view.membership.members.remove(&name("node-a")).unwrap();
            view.membership.members.insert(odd, member);
            prop_assert!(render(&view).text.lines().count() >= plain - 1);
            prop_assert_eq!(complaint(&render(&view).text), None);
        }
        if let Ok(path) = path.parse() {
            let mut view = view();
            view.settings.socket = path;
            prop_assert_eq!(render(&view).text.lines().count(), plain);
        }
    }
}
