//! What HAProxy prints: recorded answers of it, and any bytes instead.
#![expect(clippy::unwrap_used, reason = "a test")]

use endtoend_haproxy::{
    Name, Process, ProcessKind, ServerState, Stat, Unreadable, parse_info, parse_parts, parse_proc,
    parse_servers_state, parse_stat,
};
use proptest::prelude::*;

const SERVERS_STATE: &str = include_str!("answers/servers-state.txt");
const STAT: &str = include_str!("answers/stat.txt");
const INFO: &str = include_str!("answers/info.txt");
const PROC: &str = include_str!("answers/proc.txt");

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[test]
fn recorded_answers_are_understood() {
    let servers = parse_servers_state(SERVERS_STATE).unwrap();
    assert_eq!(servers.keys().map(ToString::to_string).collect::<Vec<_>>(), ["n1", "n2", "n4"], "of our backend alone");
    let expected = ServerState {
        address: Some("127.0.0.1:39005".parse().unwrap()),
        check: Some("127.0.0.1:39105".parse().unwrap()),
        weight: 0,
        maintenance: false,
        drain: false,
        running: true,
        checked: true,
    };
    assert_eq!(servers[&name("n2")], expected);
    let n4 = &servers[&name("n4")];
    assert_eq!((n4.address, n4.check), (Some("[::1]:39002".parse().unwrap()), None));
    assert!(n4.maintenance && !n4.running && !n4.checked);

    let stat = parse_stat(STAT).unwrap();
    let expected = Stat {
        status: "DOWN".to_owned(),
        sessions: 3,
        sessions_total: 41,
        sessions_max: Some(5000),
        changed_seconds: 17,
    };
    assert_eq!(stat[&name("n1")], expected);

    let info = parse_info(INFO).unwrap();
    assert_eq!((info.version.as_str(), info.pid, info.uptime_seconds), ("2.6.12-1+deb12u4", 11726, 8));
    assert_eq!(info.structure.unwrap().to_string(), "0011223344556677");

    let process = |pid, kind| Process { pid, kind };
    let expected = [
        process(11723, ProcessKind::Master),
        process(11945, ProcessKind::Worker),
        process(11726, ProcessKind::OldWorker),
        process(11800, ProcessKind::Program),
    ];
    assert_eq!(parse_proc(PROC).unwrap(), expected);
}

#[test]
fn three_answers_in_one_are_those_three() {
    let all = format!("{INFO}\n{SERVERS_STATE}\n{STAT}\n");
    let [info, states, stats] = parse_parts(&all).unwrap();
    assert_eq!(parse_info(info), parse_info(INFO));
    assert_eq!(parse_servers_state(states), parse_servers_state(SERVERS_STATE));
    assert_eq!(parse_stat(stats), parse_stat(STAT));
    let to = "show info; show servers state; show stat";
    let missing = |answer: &str| parse_parts(answer).unwrap_err();
    assert_eq!(missing(INFO), Unreadable { to, why: "has no state of servers" });
    assert_eq!(missing(&format!("{INFO}\n{SERVERS_STATE}")), Unreadable { to, why: "has no statistics" });
}

#[test]
fn what_is_no_answer_is_an_error() {
    let unreadable = |to, why| Unreadable { to, why };
    assert_eq!(parse_servers_state("").unwrap_err(), unreadable("show servers state", "is not of version 1"));
    assert_eq!(parse_servers_state("1\n").unwrap_err(), unreadable("show servers state", "has no header"));
    let lacks = parse_servers_state("1\n# be_name srv_name\nnodes n1\n").unwrap_err();
    assert_eq!(lacks, unreadable("show servers state", "lacks a column"));
    assert_eq!(parse_stat("Can't find backend.\n").unwrap_err(), unreadable("show stat", "has no header"));
    assert_eq!(parse_info("").unwrap_err(), unreadable("show info", "names no version"));
    assert_eq!(parse_info("Version: 2.6\nPid: 0\n").unwrap_err(), unreadable("show info", "names no process"));
    assert_eq!(parse_proc("# workers\n").unwrap_err(), unreadable("show proc", "names no master"));
}

proptest! {
    /// Recorded answers with any bytes in the middle, and any text at all.
    #[test]
    fn any_answer_is_a_value_or_an_error(which in 0_usize..4, at in any::<prop::sample::Index>(), put in ".{0,20}", any in any::<String>()) {
        let recorded = [SERVERS_STATE, STAT, INFO, PROC][which];
        let at = at.index(recorded.len());
        let bent = [&recorded[..at], &put, &recorded[at + 1..]].concat();
        for text in [&bent, &any] {
            let _ = (parse_servers_state(text), parse_stat(text), parse_info(text), parse_proc(text), parse_parts(text));
        }
    }
}
