//! A node and two people, as most tests need them.

use tempfile::TempDir;

use crate::cli::Cli;
use crate::node::{Node, NodeOptions};

/// Alice and Bob are registered with the node.
#[derive(Debug)]
pub struct Scene {
    /// Where both are.
    pub node: Node,
    /// Registered as `alice.the.sender`.
    pub alice: Cli,
    /// Registered as `bob.the.listener`.
    pub bob: Cli,
    _homes: TempDir,
}

/// Bob's handle: long enough that it is not met by chance.
const BOB: &str = "bob.the.listener";
const ALICE: &str = "alice.the.sender";

impl Scene {
    /// # Panics
    /// When one of them cannot register.
    pub fn start() -> Self {
        Self::start_with(NodeOptions::default())
    }

    /// # Panics
    /// When one of them cannot register.
    pub fn start_with(options: NodeOptions) -> Self {
        // It says all it can, so that whatever it should not say is found.
        let node = Node::start(NodeOptions { log_filter: Some("trace"), ..options });
        let homes = tempfile::tempdir().expect("a temporary directory");
        let alice = Cli::new(homes.path().join("alice"), node.address());
        let bob = Cli::new(homes.path().join("bob"), node.address());
        alice.register(ALICE).done();
        bob.register(BOB).done();
        Self { node, alice, bob, _homes: homes }
    }

    /// Alice writes, and the server takes it.
    pub fn alice_says(&self, text: &str) {
        self.alice.send(BOB, text).done();
    }

    /// Bob writes, and the server takes it.
    pub fn bob_says(&self, text: &str) {
        self.bob.send(ALICE, text).done();
    }

    /// The two handles.
    pub const fn handles(&self) -> [&'static str; 2] {
        [ALICE, BOB]
    }
}
