//! An edge that ends TLS itself: who believes whom, and that all goes through all the same.
#![expect(clippy::unwrap_used, reason = "test code: what fails here fails the test")]

use std::net::Ipv4Addr;

use endtoend_testkit::{Behind, Cli, Edge, Node, NodeOptions, PATIENCE, Unsecured, eventually, reach_tls_from};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData as _};
use sha2::{Digest as _, Sha256};

/// In the certificates of nodes.
const NAME: &str = "chat.example.org";

fn node() -> Node {
    let mut options = NodeOptions::without_limits().behind_an_edge();
    options.environment.push(("ENDTOEND_GATEWAY__NAMES", format!("[\"{NAME}\"]")));
    Node::start(options)
}

/// The authority of a node, as it shows it to whoever connects.
async fn authority_of(node: &Node) -> String {
    // From an address that is no edge's.
    let tls = reach_tls_from(Ipv4Addr::new(127, 0, 0, 2), node.listen()).await.unwrap();
    let chain = tls.get_ref().1.peer_certificates().unwrap();
    let authority = chain.get(1).unwrap();
    pem::encode(&pem::Pem::new("CERTIFICATE", authority.to_vec()))
}

/// Chain and key of the edge in one file as HAProxy wants them, and what clients pin.
fn of_the_edge() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "the edge's authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let pin = hex::encode(Sha256::digest(key.subject_public_key_info()));
    let (own, issuer) = (KeyPair::generate().unwrap(), Issuer::new(params, key));
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
    ([leaf.pem(), authority.pem(), own.serialize_pem()].concat(), pin)
}

/// The identity in a node's address: the second half of its pin.
fn identity(node: &Node) -> &str {
    node.address().rsplit_once("pin=").unwrap().1.get(64..).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_believe_the_edge_and_the_nodes_identity_and_the_edge_believes_the_nodes_authority_alone() {
    let (node, stranger) = (node(), node());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (chain, pin) = of_the_edge();
    let (edge_file, authority) = (file("edge.pem", &chain), file("nodes.pem", &authority_of(&node).await));
    let terminate = format!(
        "[terminate]\ncertificate = \"{edge_file}\"\nnode_authority = \"{authority}\"\nnode_name = \"{NAME}\"\n\
         [limits]\nconnections_max = 300\n[times]\ncheck_interval_ms = 100\nslow_start_ms = 1\n"
    );
    let mut edge = Edge::start(&terminate);
    edge.apply(&[Behind::node("a", &node)]);
    eventually(PATIENCE, "the node", || edge.server("a")["state"].as_str().is_some_and(|s| s.starts_with("UP")));

    let address = format!("endtoend://{}/#pin={pin}{}", edge.listen(), identity(&node));
    let homes = tempfile::tempdir().unwrap();
    let alice = Cli::new(homes.path().join("alice"), &*address);
    let bob = Cli::new(homes.path().join("bob"), &*address);
    alice.register("alice.beyond").done();
    bob.register("bob.beyond").done();
    let listening = bob.spawn_listen();
    alice.send("bob.beyond", "through two connections").done();
    assert_eq!(listening.next_text(), "through two connections");

    // What clients pinned before is not what the edge shows.
    let before = format!("endtoend://{}/#{}", edge.listen(), node.address().split_once('#').unwrap().1);
    let refused = Cli::new(homes.path().join("carol"), before).register("carol.beyond");
    assert!(
        refused.code != Some(0) && format!("{refused:?}").contains("not the one this address names"),
        "{refused:?}"
    );
    // Nor is the edge the node: whoever has its certificate has no identity of the node's.
    let other = format!("endtoend://{}/#pin={pin}{}", edge.listen(), identity(&stranger));
    let refused = Cli::new(homes.path().join("carol"), other).register("carol.beyond");
    assert!(refused.code != Some(0) && format!("{refused:?}").contains("identity"), "{refused:?}");

    // A node of another authority gets nobody, though its checks are good.
    edge.apply(&[Behind::node("a", &stranger)]);
    eventually(PATIENCE, "the other", || edge.server("a")["state"].as_str().is_some_and(|s| s.starts_with("UP")));
    assert!(Unsecured::reach(edge.listen(), &[]).await.is_err());
    edge.apply(&[Behind::node("a", &node)]);
    eventually(PATIENCE, "the node again", || edge.server("a")["state"].as_str().is_some_and(|s| s.starts_with("UP")));
    Unsecured::reach(edge.listen(), &[]).await.unwrap();
}
