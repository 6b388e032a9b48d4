//! From what HAProxy prints to values. Columns are found by their names, because versions add some.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::csv;
use crate::model::Name;
use crate::render::{BACKEND, Structure};

/// Rows of one answer: far more than an edge has.
const ROWS_MAX: usize = 4_096;

/// What HAProxy printed is none of what it prints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("HAProxy's answer to `{to}` {why}")]
pub struct Unreadable {
    /// The order.
    pub to: &'static str,
    /// What is wrong with the answer.
    pub why: &'static str,
}

/// `show info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Like `2.6.12-1+deb12u4`.
    pub version: String,
    /// Of the worker.
    pub pid: u32,
    /// Since it began.
    pub uptime_seconds: u64,
    /// What it runs, if that is ours.
    pub structure: Option<Structure>,
    /// Connections at present.
    pub connections: u64,
    /// Connections ever.
    pub connections_total: u64,
}

/// One row of `show servers state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerState {
    /// Where connections go; `None` for one that is not an address.
    pub address: Option<SocketAddr>,
    /// Where checks go, if not there.
    pub check: Option<SocketAddr>,
    /// As it was set last.
    pub weight: u16,
    /// It gets nothing, because somebody said so.
    pub maintenance: bool,
    /// Somebody has told it to drain, other than by its weight.
    pub drain: bool,
    /// Checks and all say that it takes connections.
    pub running: bool,
    /// Checks are made.
    pub checked: bool,
}

/// One server in `show stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Like `UP`, `DOWN 1/2`, `MAINT`.
    pub status: String,
    /// Sessions at present.
    pub sessions: u64,
    /// Sessions ever.
    pub sessions_total: u64,
    /// Of those at one time.
    pub sessions_max: Option<u32>,
    /// Since its status changed.
    pub changed_seconds: u64,
}

/// What a process of a master is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessKind {
    /// Starts the others.
    Master,
    /// Takes connections.
    Worker,
    /// Keeps those it has, and takes none.
    OldWorker,
    /// Something else that it was told to start.
    Program,
}

/// One row of `show proc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// What it is.
    pub kind: ProcessKind,
}

/// The answers to `show info`, `show servers state` and `show stat`, asked in one line: each begins with what nothing else does.
///
/// # Errors
/// When one of them is missing.
pub fn parse_parts(answer: &str) -> Result<[&str; 3], Unreadable> {
    let why = |why| Unreadable { to: "show info; show servers state; show stat", why };
    let states = answer.find("\n1\n# ").ok_or(why("has no state of servers"))?;
    let (info, rest) = answer.split_at(states);
    let stats = rest.find("\n# pxname,").ok_or(why("has no statistics"))?;
    let (states, stats) = rest.split_at(stats);
    Ok([info, states, stats.trim_start()])
}

/// # Errors
/// When it is no such answer.
pub fn parse_info(answer: &str) -> Result<Info, Unreadable> {
    let why = |why| Unreadable { to: "show info", why };
    let fields: BTreeMap<&str, &str> = answer.lines().take(ROWS_MAX).filter_map(|line| line.split_once(": ")).collect();
    let text = |name| fields.get(name).copied();
    let number = |name: &str| fields.get(name).and_then(|text| text.trim().parse::<u64>().ok());
    Ok(Info {
        version: text("Version").ok_or(why("names no version"))?.trim().to_owned(),
        pid: number("Pid")
            .and_then(|pid| u32::try_from(pid).ok())
            .filter(|pid| *pid > 0)
            .ok_or(why("names no process"))?,
        uptime_seconds: number("Uptime_sec").unwrap_or(0),
        structure: text("description").and_then(|text| Structure::of_description(text.trim())),
        connections: number("CurrConns").unwrap_or(0),
        connections_total: number("CumConns").unwrap_or(0),
    })
}

/// The servers of our backend.
///
/// # Errors
/// When it is no such answer.
pub fn parse_servers_state(answer: &str) -> Result<BTreeMap<Name, ServerState>, Unreadable> {
    let why = |why| Unreadable { to: "show servers state", why };
    let mut lines = answer.lines().skip_while(|line| line.trim().is_empty());
    if lines.next().map(str::trim) != Some("1") {
        return Err(why("is not of version 1"));
    }
    let header = lines.next().and_then(|line| line.strip_prefix("# ")).ok_or(why("has no header"))?;
    let columns: Vec<&str> = header.split_whitespace().collect();
    let mut servers = BTreeMap::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        if servers.len() == ROWS_MAX {
            return Err(why("is too long"));
        }
        let row: BTreeMap<&str, &str> = columns.iter().copied().zip(line.split_whitespace()).collect();
        let text = |name| row.get(name).copied().ok_or(why("lacks a column"));
        let number = |name| text(name)?.parse::<u32>().map_err(|_| why("has a number that is none"));
        if text("be_name")? != BACKEND {
            continue;
        }
        let name = text("srv_name")?.parse::<Name>().map_err(|_| why("has a name that is none of ours"))?;
        let port = |name| Ok(u16::try_from(number(name)?).unwrap_or(0));
        let ip = |name| Ok(text(name)?.parse::<IpAddr>().ok());
        let admin = number("srv_admin_state")?;
        let check_port = port("srv_check_port")?;
        let state = ServerState {
            address: ip("srv_addr")?.map(|ip| (ip, port("srv_port").unwrap_or(0)).into()),
            check: ip("srv_check_addr")?.filter(|_| check_port > 0).map(|ip| (ip, check_port).into()),
            weight: u16::try_from(number("srv_uweight")?).map_err(|_| why("has a weight that is none"))?,
            // Forced, inherited, or by its configuration.
            maintenance: admin & 0x27 != 0,
            drain: admin & 0x18 != 0,
            running: number("srv_op_state")? >= 1,
            checked: number("srv_check_state")? & 0x04 != 0,
        };
        if servers.insert(name, state).is_some() {
            return Err(why("has a server twice"));
        }
    }
    Ok(servers)
}

/// The servers of our backend.
///
/// # Errors
/// When it is no such answer.
pub fn parse_stat(answer: &str) -> Result<BTreeMap<Name, Stat>, Unreadable> {
    let why = |why| Unreadable { to: "show stat", why };
    let mut lines = answer.lines().skip_while(|line| line.trim().is_empty());
    let header = lines.next().and_then(|line| line.strip_prefix("# ")).ok_or(why("has no header"))?;
    let columns = csv::fields(header);
    let mut servers = BTreeMap::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        if servers.len() == ROWS_MAX {
            return Err(why("is too long"));
        }
        let row: BTreeMap<&str, String> = columns.iter().map(String::as_str).zip(csv::fields(line)).collect();
        let text = |name: &str| row.get(name).map(String::as_str).ok_or(why("lacks a column"));
        let number = |name: &str| Ok(text(name)?.parse::<u64>().unwrap_or(0));
        if text("pxname")? != BACKEND || text("svname")? == "BACKEND" {
            continue;
        }
        let name = text("svname")?.parse::<Name>().map_err(|_| why("has a name that is none of ours"))?;
        let stat = Stat {
            status: text("status")?.chars().filter(char::is_ascii_graphic).take(32).collect(),
            sessions: number("scur")?,
            sessions_total: number("stot")?,
            sessions_max: text("slim")?.parse().ok(),
            changed_seconds: number("lastchg")?,
        };
        if servers.insert(name, stat).is_some() {
            return Err(why("has a server twice"));
        }
    }
    Ok(servers)
}

/// The master and its processes.
///
/// # Errors
/// When it is no such answer.
pub fn parse_proc(answer: &str) -> Result<Vec<Process>, Unreadable> {
    let why = |why| Unreadable { to: "show proc", why };
    let mut processes = Vec::new();
    let mut old = false;
    for line in answer.lines().filter(|line| !line.trim().is_empty()) {
        if let Some(section) = line.strip_prefix('#') {
            old = section.trim() == "old workers";
            continue;
        }
        let mut words = line.split_whitespace();
        let pid =
            words.next().and_then(|pid| pid.parse().ok()).filter(|pid| *pid > 0).ok_or(why("names no process"))?;
        let kind = match words.next() {
            Some("master") => ProcessKind::Master,
            Some("worker") if old => ProcessKind::OldWorker,
            Some("worker") => ProcessKind::Worker,
            Some(_) => ProcessKind::Program,
            None => return Err(why("lacks a column")),
        };
        if processes.len() == ROWS_MAX {
            return Err(why("is too long"));
        }
        processes.push(Process { pid, kind });
    }
    match processes.iter().any(|process| process.kind == ProcessKind::Master) {
        true => Ok(processes),
        false => Err(why("names no master")),
    }
}
