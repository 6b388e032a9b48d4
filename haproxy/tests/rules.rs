//! Planner and pace, without a HAProxy: what is carried out comes to what is wanted, and no faster than it may.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use common::{member, name, view};
use endtoend_haproxy::{
    Capabilities, Change, EdgeView, Info, Leaving, Member, MemberState, Membership, Name, Pace, Plan, Seen, SeenServer,
    Server, ServerState, Stat, Weight, parse_info, plan, render,
};
use proptest::prelude::*;

const CAN: Capabilities = Capabilities { servers: true };

/// What HAProxy is after these orders, as far as a plan looks at it.
struct Model(Seen);

impl Model {
    fn of(view: &EdgeView) -> Self {
        let rendered = render(view);
        let info = parse_info("Version: 2.6.12\nPid: 1\n").unwrap();
        let info = Info { structure: Some(rendered.structure), ..info };
        let servers = rendered.servers.iter().map(|(name, server)| (name.clone(), has(server))).collect();
        Self(Seen { info, servers })
    }

    fn apply(&mut self, change: &Change) {
        let servers = &mut self.0.servers;
        let mut at = |name: &Name, change: &dyn Fn(&mut SeenServer)| change(servers.get_mut(name).expect("a server"));
        match change {
            Change::Add { name, server } => assert!(servers.insert(name.clone(), has(server)).is_none(), "twice"),
            Change::Address { name, address } => at(name, &|server| server.state.address = Some(*address)),
            Change::CheckAddress { name, address } => at(name, &|server| server.state.check = Some(*address)),
            Change::Weight { name, weight } => at(name, &|server| server.state.weight = *weight),
            Change::ConnectionsMax { name, connections_max } => {
                at(name, &|server| server.stat.sessions_max = Some(*connections_max));
            }
            Change::Admit { name } => at(name, &|server| {
                (server.state.maintenance, server.state.drain, server.state.checked) = (false, false, true);
            }),
            Change::Retire { name } => at(name, &|server| server.state.maintenance = true),
            Change::Cut { name } => at(name, &|server| server.stat.sessions = 0),
            Change::Delete { name } => {
                let server = servers.remove(name).expect("a server");
                assert!(server.state.maintenance && server.stat.sessions == 0, "HAProxy would refuse");
            }
        }
    }
}

fn has(server: &Server) -> SeenServer {
    let (address, check, weight) = (Some(server.address), server.check, server.weight);
    SeenServer {
        state: ServerState { address, check, weight, maintenance: false, drain: false, running: true, checked: true },
        stat: Stat {
            status: "UP".to_owned(),
            sessions: 0,
            sessions_total: 0,
            sessions_max: Some(server.connections_max),
            changed_seconds: 0,
        },
    }
}

fn members() -> impl Strategy<Value = BTreeMap<Name, Member>> {
    let member =
        (1_u16..2_000, 1_u16..=256, any::<bool>(), 1_u16..4).prop_map(|(port, weight, drains, ready)| Member {
            ready: Some(([192, 0, 2, 1], ready).into()),
            state: if drains { MemberState::Draining } else { MemberState::Active },
            weight: Weight::try_from(weight).unwrap(),
            ..member(&format!("192.0.2.1:{port}"))
        });
    proptest::collection::btree_map("[a-e]".prop_map(|text| name(&text)), member, 0..6)
}

fn with(members: BTreeMap<Name, Member>) -> EdgeView {
    let mut view = view();
    view.membership = Membership { generation: 1, members };
    view
}

proptest! {
    #[test]
    fn orders_lead_to_what_is_wanted(before in members(), after in members(), sessions in 0_u64..2) {
        let wanted = render(&with(after));
        let mut model = Model::of(&with(before));
        model.0.servers.values_mut().for_each(|server| server.stat.sessions = sessions);
        let mut overdue = BTreeSet::new();
        for round in 0..4 {
            let Plan::Orders(orders) = plan(&model.0, &wanted, &overdue, CAN) else { panic!("a reload") };
            // Whoever comes comes before anybody goes.
            let going = |change: &Change| change.is_tidying() || matches!(change, Change::Retire { .. });
            prop_assert!(orders.is_sorted_by_key(going), "{:?}", orders);
            if round > 0 {
                prop_assert!(orders.iter().all(Change::is_tidying), "{:?}", orders);
            }
            orders.iter().for_each(|change| model.apply(change));
            overdue = model.0.servers.keys().filter(|name| !wanted.servers.contains_key(*name)).cloned().collect();
        }
        prop_assert_eq!(plan(&model.0, &wanted, &overdue, CAN), Plan::Orders(Vec::new()));
        prop_assert!(model.0.servers.keys().eq(wanted.servers.keys()));
    }
}

#[test]
fn what_no_order_can_is_a_reload() {
    let (wanted, nobody) = (render(&view()), BTreeSet::new());
    let fits = Model::of(&view()).0;
    assert_eq!(plan(&fits, &wanted, &nobody, CAN), Plan::Orders(Vec::new()));
    let other = Seen { info: Info { structure: None, ..fits.info.clone() }, ..fits.clone() };
    assert_eq!(plan(&other, &wanted, &nobody, CAN), Plan::Reload);
    let mut fewer = fits.clone();
    fewer.servers.remove(&name("node-a"));
    assert_eq!(plan(&fewer, &wanted, &nobody, Capabilities { servers: false }), Plan::Reload);
    assert!(matches!(plan(&fewer, &wanted, &nobody, CAN), Plan::Orders(orders) if orders.len() == 1));
    let mut unchecked = fits;
    unchecked.servers.get_mut(&name("node-a")).unwrap().state.check = None;
    assert_eq!(
        plan(&unchecked, &wanted, &nobody, CAN),
        Plan::Reload,
        "checks cannot get an address of their own later"
    );
}

#[test]
fn a_removed_server_keeps_its_sessions_for_a_while() {
    let begin = origin();
    let wanted = render(&with(BTreeMap::new()));
    let mut model = Model::of(&view());
    model.0.servers.values_mut().for_each(|server| (server.state.maintenance, server.stat.sessions) = (true, 1));
    let mut leaving = Leaving::default();
    assert_eq!(leaving.overdue(&model.0, &wanted, begin).len(), 0);
    assert_eq!(leaving.overdue(&model.0, &wanted, begin + Leaving::GRACE - Duration::from_millis(1)).len(), 0);
    let overdue = leaving.overdue(&model.0, &wanted, begin + Leaving::GRACE);
    assert_eq!(overdue.len(), 3);
    let Plan::Orders(orders) = plan(&model.0, &wanted, &overdue, CAN) else { panic!("a reload") };
    assert!(orders.len() == 3 && orders.iter().all(|change| matches!(change, Change::Cut { .. })), "{orders:?}");
    // Whoever was wanted in between begins anew.
    assert_eq!(leaving.overdue(&model.0, &render(&view()), begin + Leaving::GRACE).len(), 0);
    assert_eq!(leaving.overdue(&model.0, &wanted, begin + Leaving::GRACE).len(), 0);
}

#[test]
fn busy_times_are_applied_together_and_failures_wait_longer() {
    let (begin, mut pace) = (origin(), Pace::default());
    assert_eq!((pace.next(), pace.next_reload()), (None, None), "after a quiet time at once");
    pace.attempted(begin, true);
    assert_eq!(pace.next(), Some(begin + Pace::TOGETHER));
    let waits: Vec<Duration> = (0..12)
        .map(|_| {
            pace.attempted(begin, false);
            pace.next().unwrap() - begin
        })
        .collect();
    assert!(waits.is_sorted() && waits[0] == Duration::from_millis(500), "{waits:?}");
    assert_eq!(waits[11], Duration::from_secs(30));
    pace.forgive();
    assert_eq!(pace.next(), Some(begin + Pace::TOGETHER));
}

proptest! {
    /// However often somebody wants one: in any 30 s there are three reloads at most.
    #[test]
    fn there_is_no_storm_of_reloads(wishes in proptest::collection::vec(0_u64..20_000, 0..200)) {
        let (mut now, mut pace, mut reloads) = (origin(), Pace::default(), Vec::new());
        for wait in wishes {
            now += Duration::from_millis(wait);
            if pace.next_reload().is_none_or(|at| at <= now) {
                pace.reloaded(now);
                reloads.push(now);
            }
        }
        for burst in reloads.windows(Pace::RELOADS_AT_ONCE + 1) {
            prop_assert!(burst[Pace::RELOADS_AT_ONCE] - burst[0] >= Pace::RELOADS_WITHIN);
        }
    }
}

fn origin() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "any moment will do, and there is no other way to one")]
    Instant::now()
}
