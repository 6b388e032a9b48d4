//! Machines whose clocks disagree by an hour.
#![expect(clippy::expect_used, reason = "test code: what fails here fails the test")]

use endtoend_testkit::{Cli, Node, NodeOptions};

struct People {
    node: Node,
    early: Cli,
    late: Cli,
    _homes: tempfile::TempDir,
}

impl People {
    fn start() -> Self {
        let node = Node::start(NodeOptions::default());
        let homes = tempfile::tempdir().expect("a temporary directory");
        let person = |name: &str, clock: &str| {
            let cli = Cli::new(homes.path().join(name), node.address()).with_clock(clock);
            cli.register(name).done();
            cli
        };
        let (early, late) = (person("early.bird", "+1h"), person("late.riser", "-1h"));
        Self { node, early, late, _homes: homes }
    }

    /// A word each way, every command with a login of its own.
    fn converse(&self, word: &str) {
        self.early.send("late.riser", word).done();
        assert_eq!(self.late.listen(1), [word]);
        let answer = format!("{word}, too");
        self.late.send("early.bird", &answer).done();
        assert_eq!(self.early.listen(1), [answer]);
    }
}

#[test]
fn people_whose_clocks_are_an_hour_off_to_either_side_converse_and_are_told() {
    let people = People::start();
    people.converse("good morning");
    people.converse("good evening");
    for (cli, ahead) in [(&people.early, true), (&people.late, false)] {
        let listening = cli.spawn_listen();
        assert_eq!(listening.event("clock_off")["ahead"], ahead);
        drop(listening);
        cli.run(&["logout"]).done();
        cli.run(&["login"]).done();
    }
}

#[test]
fn a_node_whose_clock_jumps_by_an_hour_locks_nobody_out_and_loses_nothing() {
    let mut people = People::start();
    people.converse("before");
    for jump in ["+1h", "-1h", "+0"] {
        people.early.send("late.riser", jump).done();
        people.node.terminate();
        people.node.set_clock(jump);
        people.node.restart();
        assert_eq!(people.late.listen(1), [jump], "queued under another clock");
        people.converse("after");
    }
}
