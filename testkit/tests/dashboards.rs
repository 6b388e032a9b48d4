//! What is written down about the numbers of a node, against what a node tells: the table of series, the dashboard, the alerts.
#![expect(clippy::unwrap_used, reason = "test code: what fails here fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use endtoend_testkit::{Family, Node, NodeOptions, Scrape};
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

/// Series of Prometheus itself.
const FOREIGN: [&str; 1] = ["up"];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(name)
}

fn yaml(name: &str) -> Yaml {
    let mut documents = YamlLoader::load_from_str(&fs::read_to_string(file(name)).unwrap()).unwrap();
    assert_eq!(documents.len(), 1, "{name}");
    documents.remove(0)
}

fn scrape() -> Scrape {
    Node::start(NodeOptions::default().watched()).scrape()
}

#[test]
fn the_table_of_series_is_what_a_node_exports() {
    let text = fs::read_to_string(file("docs/operating.md")).unwrap();
    let (_, table) = text.split_once("\n### Series\n").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let mut written = BTreeMap::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect();
        let [name, kind, labels, help] = &cells[..] else { unreachable!("four cells: {row}") };
        let labels: BTreeSet<_> = labels.split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
        let family = Family { kind: kind.clone(), help: help.clone(), labels };
        assert_eq!(written.insert(name.clone(), family), None, "{name} stands there twice");
    }
    let exported = scrape().families();
    for (name, family) in &exported {
        assert_eq!(written.get(name), Some(family), "docs/operating.md on {name}");
    }
    assert_eq!(written.len(), exported.len(), "docs/operating.md has series that are not exported");
}

/// The series that an expression of PromQL asks for, each with the values of labels that it wants to be equal or like.
fn series_of(expression: &str) -> Vec<(String, Vec<(String, String)>)> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(word) {
        let (_, tail) = rest.split_at(start);
        let (name, tail) = tail.split_at(tail.find(|c| !word(c)).unwrap_or(tail.len()));
        rest = tail;
        if !(name.starts_with("endtoend_") || name.starts_with("process_") || FOREIGN.contains(&name)) {
            continue;
        }
        let selector = tail.strip_prefix('{').and_then(|tail| tail.split_once('}'));
        if let Some((_, after)) = selector {
            rest = after;
        }
        let wanted = selector.map_or("", |(selector, _)| selector).split(',').filter_map(|one| {
            let (label, value) = one.trim().split_once('=').filter(|(label, _)| !label.ends_with('!'))?;
            Some((label.to_owned(), value.trim_start_matches('~').trim_matches('"').to_owned()))
        });
        found.push((name.to_owned(), wanted.collect()));
    }
    found
}

/// Labels that Prometheus or Grafana adds.
fn is_added(label: &str) -> bool {
    matches!(label, "job" | "instance")
}

fn assert_exported(scrape: &Scrape, expression: &str, place: &str) {
    let series = series_of(expression);
    assert!(!series.is_empty(), "{place}: {expression} asks for nothing of ours");
    for (name, wanted) in series.iter().filter(|(name, _)| !FOREIGN.contains(&&**name)) {
        let mut of = scrape.series().filter(|series| series.split('{').next() == Some(name)).peekable();
        assert!(of.peek().is_some(), "{place}: no node exports {name}");
        let of: Vec<_> = of.collect();
        for (label, values) in wanted.iter().filter(|(label, _)| !is_added(label)) {
            for value in values.split('|') {
                let pair = format!("{label}=\"{value}\"");
                assert!(of.iter().any(|series| series.contains(&pair)), "{place}: {name} never has {pair}");
            }
        }
    }
}

#[test]
fn the_dashboard_asks_for_what_a_node_exports() {
    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(file("deploy/grafana/endtoend.json")).unwrap()).unwrap();
    let scrape = scrape();
    let mut ids = BTreeSet::new();
    let mut shown = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title} has an id of another panel");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            assert_exported(&scrape, expression, title);
            shown.extend(series_of(expression).into_iter().map(|(name, _)| name));
        }
    }
    // Nobody counts what nobody looks at.
    for name in scrape.families().keys() {
        let is_shown = shown.iter().any(|shown| shown.starts_with(name.as_str()));
        let told_otherwise =
            ["_info", "_sweeps_total", "_limit_allowed_total", "_limit_subjects", "_timestamp_seconds"];
        assert!(is_shown || told_otherwise.iter().any(|end| name.ends_with(end)), "{name} is on no panel");
    }
}

#[test]
fn the_alerts_ask_for_what_a_node_exports_and_say_what_to_do() {
    let scrape = scrape();
    let alerts = yaml("deploy/prometheus/alerts.yml");
    let mut names = BTreeSet::new();
    for group in alerts["groups"].as_vec().unwrap() {
        for rule in group["rules"].as_vec().unwrap() {
            let name = rule["alert"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} stands there twice");
            assert_exported(&scrape, rule["expr"].as_str().unwrap(), name);
            assert!(["page", "ticket"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
            for text in ["summary", "action"] {
                assert!(rule["annotations"][text].as_str().is_some_and(|text| text.len() > 10), "{name} has no {text}");
            }
        }
    }
    assert!(names.len() > 10, "{names:?}");
    let example = yaml("deploy/prometheus/prometheus.example.yml");
    assert_eq!(example["rule_files"][0].as_str(), Some("alerts.yml"));
    assert_eq!(example["scrape_configs"][0]["job_name"].as_str(), Some("endtoend"));
}

#[test]
fn series_are_found_in_an_expression() {
    let found = series_of(
        "sum by (le) (rate(endtoend_a_bucket{instance=~\"$i\", reason!=\"x\", call=~\"b|c\"}[5m])) / up{job=\"e\"}",
    );
    let pair = |label: &str, value: &str| (label.to_owned(), value.to_owned());
    let first = ("endtoend_a_bucket".to_owned(), vec![pair("instance", "$i"), pair("call", "b|c")]);
    assert_eq!(found, [first, ("up".to_owned(), vec![pair("job", "e")])]);
}
