//! What the program is made of: the list that it shows is true, and what belongs to one system is asked for on that system only.
#![expect(clippy::unwrap_used, reason = "test code: a failed step fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use endtoend_client_iced::screens::home::settings::licences;
use serde_json::Value;

/// Crates that are for one kind of system. Whoever needs one says for which.
const OF_ONE_SYSTEM: [&str; 14] = [
    "zbus",
    "ashpd",
    "ksni",
    "dbus",
    "libdbus-sys",
    "x11rb",
    "wayland-client",
    "smithay-clipboard",
    "inotify",
    "alsa",
    "windows",
    "winapi",
    "objc2",
    "cocoa",
];
/// What runs on a person's machine.
const OF_A_PERSON: [&str; 5] =
    ["endtoend-client-iced", "endtoend-client", "endtoend-protocol", "endtoend-crypto-core", "endtoend-crypto-e2e"];

fn metadata(arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--locked", "--offline"]).args(arguments);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[test]
fn the_list_of_licences_is_that_of_what_is_built() {
    let told = metadata(&["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let packages: BTreeMap<&str, &Value> = list(&told, "packages").iter().map(|it| (text(it, "id"), it)).collect();
    let nodes = list(told.get("resolve").unwrap(), "nodes");
    let nodes: BTreeMap<&str, &Value> = nodes.iter().map(|node| (text(node, "id"), node)).collect();
    let own = packages.values().find(|package| text(package, "name") == "endtoend-client-iced").unwrap();
    let (mut found, mut waiting) = (BTreeSet::new(), vec![text(own, "id")]);
    while let Some(id) = waiting.pop() {
        if found.insert(id) {
            let is_built = |kind: &Value| kind.get("kind").is_none_or(Value::is_null);
            let deps = list(nodes.get(id).unwrap(), "deps").iter();
            waiting.extend(deps.filter(|dep| list(dep, "dep_kinds").iter().any(is_built)).map(|dep| text(dep, "pkg")));
        }
    }
    let others =
        found.into_iter().map(|id| *packages.get(id).unwrap()).filter(|package| !text(package, "source").is_empty());
    let built: BTreeSet<(String, String)> =
        others.map(|package| (text(package, "name").to_owned(), text(package, "version").to_owned())).collect();
    let shown: BTreeSet<(String, String)> =
        licences::parts().map(|part| (part.name.to_owned(), part.version.to_owned())).collect();
    let (missing, gone): (Vec<_>, Vec<_>) = (built.difference(&shown).collect(), shown.difference(&built).collect());
    assert!(
        missing.is_empty() && gone.is_empty(),
        "run scripts/licences: {missing:?} are not listed, {gone:?} are not built"
    );
    for part in licences::parts() {
        let package = packages.values().find(|it| text(it, "name") == part.name && text(it, "version") == part.version);
        let licence = text(package.unwrap(), "license");
        assert!(part.licence == licence || licence.is_empty(), "{} is under {licence}", part.name);
    }
}

#[test]
fn what_belongs_to_one_system_is_asked_for_there_only() {
    let told = metadata(&["--no-deps"]);
    for package in list(&told, "packages").iter().filter(|package| OF_A_PERSON.contains(&text(package, "name"))) {
        for needed in list(package, "dependencies") {
            let (name, gated) = (text(needed, "name"), !text(needed, "target").is_empty());
            assert!(gated || !OF_ONE_SYSTEM.contains(&name), "{} needs {name} everywhere", text(package, "name"));
        }
    }
}

/// Nothing in the window's own sources names a system without saying that it is for that one.
#[test]
fn the_window_names_no_system_without_a_gate() {
    fn look(folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            let code = source.split("#[cfg(test)]").next().unwrap_or_default();
            for system in ["std::os::unix", "std::os::linux", "std::os::windows", "/proc/", "/dev/"] {
                if code.contains(system) {
                    panic!("{} names {system}", path.display());
                }
            }
        }
    }
    look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
}
