//! `endtoend config`, and secrets that do not lie in the data directory.

use std::fs;

use endtoend_testkit::{Node, NodeOptions, Outcome, find_in_trees, operate};
use serde_json::Value;

fn events<'a>(outcome: &'a Outcome, name: &str) -> Vec<&'a Value> {
    outcome.lines.iter().filter(|line| line["event"] == name).collect()
}

#[test]
fn a_written_file_is_valid_and_is_not_replaced_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| operate(folder.path(), arguments, &[]);
    run(&["config", "init"]).done();
    let written = fs::read_to_string(folder.path().join("endtoend.toml")).unwrap();
    let check = run(&["config", "check"]).done();
    assert_eq!(check.field("file"), "endtoend.toml");
    assert_eq!(check.field("valid"), true);
    fs::write(folder.path().join("endtoend.toml"), "# mine\n").unwrap();
    let refused = run(&["config", "init"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.field("text").as_str().unwrap().contains("--force"), "{refused:?}");
    assert_eq!(fs::read_to_string(folder.path().join("endtoend.toml")).unwrap(), "# mine\n");
    run(&["config", "init", "--force"]).done();
    assert_eq!(fs::read_to_string(folder.path().join("endtoend.toml")).unwrap(), written);
    run(&["config", "init", "--file", "other.toml"]).done();
    assert_eq!(run(&["config", "chekc"]).code, Some(2));
}

#[test]
fn mistakes_are_told_with_line_and_hint_and_stop_a_start() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("endtoend.toml"), "[gateway]\n\nlissten = \"127.0.0.1:0\"\n").unwrap();
    let check = operate(folder.path(), &["config", "check"], &[("ENDTOEND_LOGG__FILTER", "info")]);
    assert_eq!(check.code, Some(1));
    let mistakes = events(&check, "mistake");
    assert_eq!((&mistakes[0]["file"], &mistakes[0]["line"]), (&"endtoend.toml".into(), &3.into()), "{check:?}");
    assert_eq!(mistakes[0]["hint"], "did you mean `listen`?");
    assert_eq!(mistakes[1]["variable"], "ENDTOEND_LOGG__FILTER");
    assert_eq!(mistakes[1]["hint"], "did you mean ENDTOEND_LOG__FILTER?");
    let start = operate(folder.path(), &["serve"], &[]);
    assert_eq!(start.code, Some(1));
    assert!(start.stderr.contains("endtoend.toml:3: ") && start.stderr.contains("`listen`?"), "{start:?}");
}

#[test]
fn what_is_in_effect_is_shown_with_its_origin_and_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("endtoend.toml"), "[gateway]\nconnections_max = 7\n").unwrap();
    let marker = "5ec2e7".repeat(21) + "5e";
    let url = ("ENDTOEND_STORAGE__URL", "postgres://endtoend:hunter2@db.example:5433/e2e");
    let redis = ("ENDTOEND_REDIS__URL", "rediss://endtoend:hunter2@cache.example/0");
    let environment = [("ENDTOEND_LOG__FILTER", "warn"), ("ENDTOEND_SECRET_TOKEN", &marker), url, redis];
    let show = operate(folder.path(), &["config", "show"], &environment).done();
    let named = |section: &str, key: &str| {
        let is_it = |line: &&&Value| line["section"] == section && line["key"] == key;
        *events(&show, "setting").iter().find(is_it).unwrap()
    };
    let setting = |key: &str| *events(&show, "setting").iter().find(|line| line["key"] == key).unwrap();
    assert_eq!((&setting("connections_max")["value"], &setting("connections_max")["line"]), (&7.into(), &2.into()));
    assert_eq!(setting("filter")["variable"], "ENDTOEND_LOG__FILTER");
    assert_eq!(setting("data")["from"], "default");
    assert_eq!(named("storage", "url")["value"], "postgres://endtoend:***@db.example:5433/e2e");
    assert_eq!(named("redis", "url")["value"], "rediss://endtoend:***@cache.example/0");
    let said = format!("{show:?}");
    assert!(!said.contains(&marker) && !said.contains("hunter2"), "{show:?}");
}

#[test]
fn a_node_takes_its_secrets_from_the_environment_and_keeps_none_of_them() {
    let mut first = Node::start(NodeOptions::default());
    let address = first.address().to_owned();
    first.terminate();
    let data = first.data_dir().to_owned();
    let hex = |name: &str| hex::encode(fs::read(data.join(name)).unwrap());
    let environment = vec![("ENDTOEND_SECRET_IDENTITY", hex("identity.key")), ("ENDTOEND_SECRET_CA", hex("ca.key"))];
    let identity = fs::read(data.join("identity.key")).unwrap();
    for name in ["identity.key", "ca.key"] {
        fs::remove_file(data.join(name)).unwrap();
    }

    let set: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let data_variable = ("ENDTOEND_STORAGE__DATA", data.to_str().unwrap());
    let check = operate(&data, &["config", "check"], &[set[0], set[1], data_variable]).done();
    let from: Vec<_> = events(&check, "secret").iter().map(|line| line["from"].as_str().unwrap()).collect();
    assert_eq!(from, ["environment", "environment", "file", "file", "file", "file"]);
    let lost = operate(&data, &["config", "check"], &[data_variable]);
    assert_eq!(lost.code, Some(1));
    assert!(
        lost.lines.last().unwrap()["text"].as_str().unwrap().contains("every client refuses the server"),
        "{lost:?}"
    );

    let port = first.listen().port();
    let log_filter = Some("trace");
    let options = NodeOptions { data: Some(data.clone()), port, log_filter, environment, ..NodeOptions::default() };
    let second = Node::start(options);
    assert_eq!(second.address(), address);
    assert!(!data.join("identity.key").exists());
    let places = [data.as_path(), second.log_path()];
    assert_eq!(find_in_trees(&places, &[&identity[..32]]).unwrap().hits, []);
    assert!(fs::read_to_string(second.log_path()).unwrap().contains("ENDTOEND_SECRET_IDENTITY"), "where from is told");
}

#[test]
fn a_bad_secret_from_outside_stops_a_start_and_is_not_printed() {
    let marker = "5ec2e7".repeat(4);
    for (variable, meant) in [("ENDTOEND_SECRET_TOKEN", "instead of 64"), ("ENDTOEND_SECRET_TOKN", "_TOKEN?")] {
        let environment = vec![(variable, marker.clone())];
        let why = Node::try_start(NodeOptions { environment, ..NodeOptions::default() }).unwrap_err();
        assert_eq!(why.code, Some(1), "{why:?}");
        assert!(why.stderr.contains(meant) && !why.stderr.contains(&marker), "{why:?}");
    }
}
