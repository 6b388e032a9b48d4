//! What a node must not say, however much it is asked to log.

use endtoend_protocol::{AccountTag, ClientFrame, Request};
use endtoend_testkit::{Node, NodeOptions, Wire, find_in_trees};

#[tokio::test]
async fn a_node_that_logs_everything_logs_no_token_and_no_proof() {
    let node = Node::start(NodeOptions { log_filter: Some("trace"), ..NodeOptions::default() });
    let (mut wire, bob) = Wire::register(node.listen(), AccountTag::new([0xb; 32])).await;
    let (_, carol) = Wire::register(node.listen(), AccountTag::new([0xc; 32])).await;
    wire.ask(Request::Attach).await;
    let envelope = carol.envelope(7, 1000);
    wire.send(&ClientFrame::Send(envelope)).await;
    wire.recv().await;
    wire.send_bytes([0xff; 40]).await;
    while wire.recv().await.is_some() {}
    Wire::resume(node.listen(), &bob).await;

    let seeds = [bob.seed(), carol.seed()];
    // The claims of a token and the beginnings of its two signatures.
    let secrets: Vec<&[u8]> = [&bob, &carol]
        .into_iter()
        .flat_map(|device| [&device.token()[9..74], &device.token()[74..106], &device.token()[138..170]])
        .chain(seeds.iter().flat_map(|seed| [&seed[..32], &seed[32..]]))
        .collect();
    assert_eq!(find_in_trees(&[node.log_path()], &secrets).unwrap().hits, []);
    // What it may keep: tokens are not among it either.
    assert_eq!(find_in_trees(&[node.data_dir()], &secrets).unwrap().hits, []);
    let log = std::fs::read_to_string(node.log_path()).unwrap();
    assert!(log.contains("TRACE"), "it did log everything");
    // What it kept of its own is readable for its owner only, and not in the log.
    for name in ["identity.key", "token.key", "opaque.key", "ca.key"] {
        let key = std::fs::read(node.data_dir().join(name)).unwrap();
        assert_eq!(find_in_trees(&[node.log_path()], &[&key[..32]]).unwrap().hits, [], "{name}");
    }
}
