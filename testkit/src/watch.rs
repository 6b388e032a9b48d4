//! What a node tells those who watch it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::clock::PATIENCE;
use crate::node::Node;

/// The text of `/metrics`, and what it says.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// As it came.
    pub text: String,
    samples: BTreeMap<String, f64>,
}

/// One family of series, as `# HELP`, `# TYPE` and the labels of its samples say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Family {
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// What it means.
    pub help: String,
    /// Names of labels, `le` excepted.
    pub labels: BTreeSet<String>,
}

impl Scrape {
    fn read(text: String) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line:?}"));
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("no number: {line:?}")))
        };
        Self { samples: samples.map(sample).collect(), text }
    }

    /// The value of a series, named like `endtoend_connections{state="attached"}`.
    ///
    /// # Panics
    /// When there is none.
    pub fn value(&self, series: &str) -> f64 {
        *self.samples.get(series).unwrap_or_else(|| panic!("no series {series} in {}", self.text))
    }

    /// The sum over all labels of a family.
    pub fn sum(&self, family: &str) -> f64 {
        let of = |series: &str| series.split('{').next() == Some(family);
        self.samples.iter().filter(|(series, _)| of(series)).map(|(_, value)| value).sum()
    }

    /// Every series, with its labels.
    pub fn series(&self) -> impl Iterator<Item = &str> {
        self.samples.keys().map(String::as_str)
    }

    /// The families by their names.
    ///
    /// # Panics
    /// When a sample belongs to none.
    pub fn families(&self) -> BTreeMap<String, Family> {
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        for line in self.text.lines() {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
                families.entry(name.to_owned()).or_default().help = help.to_owned();
            } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
                families.entry(name.to_owned()).or_default().kind = kind.to_owned();
            }
        }
        for series in self.series() {
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let part = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
            let name = part.filter(|name| families.contains_key(*name)).unwrap_or(name);
            let family = families.get_mut(name).unwrap_or_else(|| panic!("{series} has no help"));
            let labels = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
            family.labels.extend(labels.map(|(label, _)| label.to_owned()).filter(|label| label != "le"));
        }
        families
    }
}

impl Node {
    /// Status and body of a page that it has for those who watch it.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn page(&self, path: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
        let answer = exchange(self.admin().expect("a node that is watched"), request.as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no status: {head:?}")), body.to_owned())
    }

    /// Why it is not ready; nothing when it is.
    ///
    /// # Panics
    /// When the answer contradicts itself.
    pub fn not_ready(&self) -> Vec<String> {
        let (status, body) = self.page("/readyz");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let reasons = body.get("reasons").and_then(Value::as_array).expect("a list");
        assert_eq!(status, if reasons.is_empty() { 200 } else { 503 }, "{body}");
        assert_eq!(body.get("ready"), Some(&reasons.is_empty().into()));
        reasons.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Its numbers.
    ///
    /// # Panics
    /// When it does not tell them.
    pub fn scrape(&self) -> Scrape {
        let (status, body) = self.page("/metrics");
        assert_eq!(status, 200, "{body}");
        Scrape::read(body)
    }
}

/// Says these bytes, and hears everything until the other end closes.
fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(request).expect("it is read");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    String::from_utf8(answer).expect("text")
}
