//! Who is let in.

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, NamedGroup};

use super::super::connect::Connected;
use super::super::tls::{join_client, untrusted};
use super::super::wire::{Hello, Versions, put};
use super::*;
use crate::join::REQUEST_BYTES_MAX;
use crate::{CERTIFICATE_LIFE, ClusterId, MemberState};

const HOUR: Duration = Duration::from_secs(3600);

/// Whether the node that was dialled lets `raw` in: the other side of TLS 1.3 learns of a refusal only when it reads.
async fn let_in(raw: Result<Connected, ConnectError>) -> Result<(), String> {
    raw.map(|_| ()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn only_a_member_with_its_own_key_and_a_valid_certificate_of_this_cluster_is_let_in() {
    let mut cluster = Cluster::of(2).await;
    let two = cluster.start(1);
    let_in(cluster.raw(0, 1).await).await.unwrap();
    let (one_id, mine) = (cluster.id(0), cluster.view.clone());
    let certificate = |cluster: &mut Cluster, certificate| cluster.view.certificates.insert(one_id, certificate);
    let refused = Err("the TLS handshake failed".to_owned());

    let others = authority().issue(&cluster.keys[0].key(), now()).unwrap();
    certificate(&mut cluster, others);
    assert_eq!(let_in(cluster.raw(0, 1).await).await, refused, "the certificate of another cluster");

    let expired = cluster.authority.issue(&cluster.keys[0].key(), now().minus(CERTIFICATE_LIFE + HOUR)).unwrap();
    certificate(&mut cluster, expired);
    assert_eq!(let_in(cluster.raw(0, 1).await).await, refused, "an expired certificate");

    let not_yet = cluster.authority.issue(&cluster.keys[0].key(), now().plus(3 * HOUR)).unwrap();
    certificate(&mut cluster, not_yet);
    assert_eq!(let_in(cluster.raw(0, 1).await).await, refused, "a certificate of the future");

    // A valid chain, and somebody else's key: a node that is no member.
    cluster.view = mine.clone();
    let stranger = loop {
        let key = node_keys();
        if key.node() < two.links.own() {
            break key;
        }
    };
    let own = std::mem::replace(&mut cluster.keys[0], stranger);
    let stranger_id = cluster.id(0);
    let member = mine.members[&one_id].clone();
    let member = crate::Member { key: cluster.keys[0].key(), ..member };
    cluster.view.members.insert(stranger_id, member);
    cluster.view.certificates.insert(stranger_id, cluster.authority.issue(&cluster.keys[0].key(), now()).unwrap());
    assert_eq!(let_in(cluster.raw(0, 1).await).await, refused, "a node that is no member");

    // A member's certificate without its key.
    cluster.view = mine.clone();
    cluster.view.members.insert(stranger_id, crate::Member { ..cluster.view.members[&one_id].clone() });
    cluster.view.certificates.insert(stranger_id, mine.certificates[&one_id].clone());
    assert!(let_in(cluster.raw(0, 1).await).await.is_err(), "a certificate that was copied");

    cluster.keys[0] = own;
    cluster.view = mine.clone();
    for state in [MemberState::Joining, MemberState::Draining, MemberState::Active] {
        two.view.send_modify(|view| view.members.get_mut(&one_id).unwrap().state = state);
        let_in(cluster.raw(0, 1).await).await.unwrap();
    }
    two.view.send_modify(|view| view.members.get_mut(&one_id).unwrap().state = MemberState::Pending);
    assert_eq!(let_in(cluster.raw(0, 1).await).await, refused, "a node that is not approved");
    two.view.send_modify(|view| view.members.get_mut(&one_id).unwrap().state = MemberState::Active);
    two.view.send_modify(|view| view.authorities.clear());
    assert_eq!(let_in(cluster.raw(0, 1).await).await, refused, "an authority that was replaced");
}

#[tokio::test]
async fn only_the_node_that_was_dialled_is_believed() {
    let mut cluster = Cluster::of(3).await;
    let _three = cluster.start(2);
    let_in(cluster.raw(0, 2).await).await.unwrap();
    let (two_id, three_id) = (cluster.id(1), cluster.id(2));
    // Another member answers at its address.
    cluster.member(1).peer_address = cluster.view.members[&three_id].peer_address.clone();
    let refused = cluster.raw(0, 1).await.map(|_| ());
    assert!(
        matches!(refused, Err(ConnectError::Untrusted(Untrusted::AnotherNode(id))) if id == three_id),
        "{refused:?}"
    );
    // The key that the cluster has recorded is another one.
    let mine = cluster.view.clone();
    cluster.member(2).key = cluster.view.members[&two_id].key.clone();
    let refused = cluster.raw(0, 2).await.map(|_| ());
    assert!(
        matches!(refused, Err(ConnectError::Untrusted(Untrusted::NotAMember(id))) if id == three_id),
        "{refused:?}"
    );
    // The authority is another one.
    cluster.view = mine;
    cluster.view.authorities = vec![authority().certificate().clone()];
    let refused = cluster.raw(0, 2).await.map(|_| ());
    assert!(matches!(refused, Err(ConnectError::Untrusted(Untrusted::Certificate(_)))), "{refused:?}");
}

#[tokio::test]
async fn the_greater_one_waits_to_be_dialled() {
    let mut cluster = Cluster::of(2).await;
    let one = cluster.start(0);
    // It is through with its handshake before it learns that it is not wanted.
    let connected = cluster.raw(1, 0).await;
    if let Ok(mut connected) = connected {
        let mut rest = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut connected.stream, &mut rest);
        let _ = tokio::time::timeout(PATIENCE, read).await.expect("it is closed");
    }
    assert_eq!(one.links.links(), []);
}

#[tokio::test]
async fn a_second_connection_of_a_node_takes_the_place_of_the_first() {
    let mut cluster = Cluster::of(2).await;
    let two = cluster.start(1);
    let raw = cluster.raw(0, 1).await.unwrap();
    let first = two.linked(cluster.id(0)).await;
    let _raw_again = cluster.raw(0, 1).await.unwrap();
    let second = two.linked_anew(first).await;
    eventually("the news of it", || two.seen.seen().len() == 3).await;
    assert_eq!(two.seen.seen(), [Seen::Linked(first), Seen::Broke(first), Seen::Linked(second)]);
    assert_eq!(two.forward(first, 1, 1), Err(NotSent::Broken));
    two.forward(second, 1, 1).unwrap();
    // The end of the first does not take the second out.
    drop(raw);
    assert_eq!(two.links.link(cluster.id(0)), Some(second));
}

/// What a node of another version says first, and whether it is let in.
async fn greets(cluster: &Cluster, two: &Node, hello: Hello, more: &[u8]) -> bool {
    let links = || two.seen.seen().iter().filter(|seen| matches!(seen, Seen::Linked(_))).count();
    let before = links();
    let key = link_key(&cluster.keys[0]);
    let config = key.link_client(&cluster.view, cluster.id(1)).unwrap();
    let tcp = TcpStream::connect(&cluster.view.members[&cluster.id(1)].peer_address).await.unwrap();
    let nobody = ServerName::try_from("any").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(nobody, tcp).await.unwrap();
    let mut out = Vec::new();
    put(&(hello, more), &mut out).unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &out).await.unwrap();
    let mut read = [0; 1];
    // Its hello comes in any case; then it stays or goes.
    let stays = async {
        eventually("an end or a link", || links() > before).await;
        true
    };
    let goes = async { while let Ok(1..) = tokio::io::AsyncReadExt::read(&mut stream, &mut read).await {} };
    tokio::select! {
        biased;
        stays = stays => stays,
        () = goes => false,
    }
}

#[tokio::test]
async fn nodes_of_neighbouring_versions_talk_and_of_other_clusters_do_not() {
    let mut cluster = Cluster::of(2).await;
    let two = cluster.start(1);
    let hello = |min, max, cluster| Hello { versions: Versions { min, max }, cluster, run: 3 };
    let (ours, others) = (cluster.view.cluster, ClusterId::new([8; 16]));
    let Versions { min, max } = Versions::OURS;
    assert!(greets(&cluster, &two, hello(min, max, ours), b"").await, "this version");
    assert!(greets(&cluster, &two, hello(max - 1, max - 1, ours), b"").await, "the one before");
    assert!(greets(&cluster, &two, hello(0, max, ours), b"").await, "an older one that knows this one");
    assert!(greets(&cluster, &two, hello(max, 9, ours), b"and more").await, "a newer one, with more to say");
    assert!(!greets(&cluster, &two, hello(max + 1, 9, ours), b"").await, "one that has forgotten this one");
    assert!(!greets(&cluster, &two, hello(0, min - 1, ours), b"").await, "one that is too old");
    assert!(!greets(&cluster, &two, hello(min, max, others), b"").await, "one that believes to be elsewhere");
}

#[tokio::test]
async fn nothing_is_said_that_the_other_side_does_not_know_nor_heard_that_it_should_not() {
    let mut cluster = Cluster::of(2).await;
    let older = cluster.start_speaking(0, Versions { min: 1, max: 1 });
    let two = cluster.start(1);
    let (link, back) = (two.linked(cluster.id(0)).await, older.linked(cluster.id(1)).await);
    let versions = [two.links.health()[&cluster.id(0)].version, older.links.health()[&cluster.id(1)].version];
    assert_eq!(versions, [Some(1), Some(1)]);
    assert_eq!(two.send(link, Frame::NewsMissed { n: 1 }), Err(NotSent::Unknown));
    two.forward(link, 1, 1).unwrap();
    older.forward(back, 1, 1).unwrap();
    eventually("both answers", || two.accepted(link) == 1 && older.accepted(back) == 1).await;
    assert!(older.seen.heard(back).iter().all(|frame| frame.since() == 1));
    drop(older);

    // It says that it knows one version, and speaks another.
    let mut raw = cluster.raw_speaking(0, 1, Versions { min: 1, max: 1 }).await.unwrap();
    let again = two.linked_anew(link).await;
    let mut out = Vec::new();
    put(&Frame::NewsMissed { n: 1 }, &mut out).unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &out).await.unwrap();
    eventually("the end of the link", || two.broke(again) == 1).await;
    assert_eq!(two.seen.heard(again), []);
}

/// Bytes that a node says to whoever has come through the handshake: its hello, or none.
async fn tls(cluster: &Cluster, config: ClientConfig) -> Result<usize, String> {
    let tcp = TcpStream::connect(&cluster.view.members[&cluster.id(1)].peer_address).await.unwrap();
    let nobody = ServerName::try_from("any").unwrap();
    let connected = TlsConnector::from(Arc::new(config)).connect(nobody, tcp).await;
    let mut stream = connected.map_err(|error| error.to_string())?;
    let group = stream.get_ref().1.negotiated_key_exchange_group().map(|group| group.name());
    assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
    let mut byte = [0; 1];
    match tokio::io::AsyncReadExt::read(&mut stream, &mut byte).await {
        Ok(count) => Ok(count),
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn a_link_needs_a_client_certificate_its_protocol_and_the_hybrid_key_exchange() {
    let mut cluster = Cluster::of(2).await;
    let _two = cluster.start(1);
    let key = link_key(&cluster.keys[0]);
    assert_eq!(tls(&cluster, key.link_client(&cluster.view, cluster.id(1)).unwrap()).await, Ok(1));
    let good = || key.link_client(&cluster.view, cluster.id(1)).unwrap();

    let mut anonymous = join_client(cluster.authority.certificate().key).unwrap();
    anonymous.alpn_protocols = vec![b"endtoend-link/1".to_vec()];
    let refused = tls(&cluster, anonymous).await.unwrap_err();
    // A link's server does not show its authority, so that its client stops first.
    assert!(refused.contains("AnotherAuthority") || refused.contains("CertificateRequired"), "{refused}");
    let mut nothing = good();
    nothing.alpn_protocols.clear();
    assert!(!matches!(tls(&cluster, nothing).await, Ok(1..)), "it says nothing to who does not say what he wants");
    let mut other = good();
    other.alpn_protocols = vec![b"http/1.1".to_vec()];
    assert!(tls(&cluster, other).await.unwrap_err().contains("NoApplicationProtocol"));
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let classical = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&tokio_rustls::rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(tokio_rustls::rustls::RootCertStore::empty());
    let mut classical = classical.with_no_client_auth();
    classical.alpn_protocols = vec![b"endtoend-link/1".to_vec()];
    assert!(tls(&cluster, classical).await.unwrap_err().contains("HandshakeFailure"));
}

#[tokio::test]
async fn a_node_that_joins_believes_the_authority_of_its_token_and_is_bound_to_its_connection() {
    let mut cluster = Cluster::of(2).await;
    let _two = cluster.start(1);
    let address = cluster.view.members[&cluster.id(1)].peer_address.clone();
    let ours = cluster.authority.certificate().key;
    let mut one = JoinConnection::open(&address, ours, PATIENCE).await.unwrap();
    let mut another = JoinConnection::open(&address, ours, PATIENCE).await.unwrap();
    assert_ne!(one.binding(), another.binding());
    for connection in [&mut one, &mut another] {
        for question in [&b"may I?"[..], b"and now?"] {
            let answer = connection.ask(question).await.unwrap();
            assert_eq!(answer, [&connection.binding()[..], question].concat(), "the same at both ends");
        }
    }
    let long = vec![1; REQUEST_BYTES_MAX + 1];
    assert!(one.ask(&long[1..]).await.is_ok());
    assert!(matches!(one.ask(&long).await, Err(ConnectError::Malformed)));
    assert!(matches!(another.ask(b"go away").await, Err(ConnectError::Unreachable(_))));

    let refused = JoinConnection::open(&address, authority().certificate().key, PATIENCE).await.map(|_| ());
    assert!(matches!(refused, Err(ConnectError::Untrusted(Untrusted::AnotherAuthority))), "{refused:?}");
    let none = tokio_rustls::rustls::Error::General(String::new());
    assert_eq!(untrusted(&none), None);
}
