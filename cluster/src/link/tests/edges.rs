//! An edge over real TLS: what it hears, and what it gets for anything else.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use endtoend_protocol::UnixMillis;
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::super::connect::{Incoming, Own, accept, dial};
use super::super::tls::join_client;
use super::super::wire::{Frame, Hello, Payload, Versions, put};
use super::super::{ConnectError, EDGE_SILENCE_MAX, EdgeConnection};
use super::fixture::{Cluster, PATIENCE, authority, eventually, link_key, node_keys, now};
use crate::edge::{self, Edge, EdgeAnswer, EdgeNews, EdgeQuestion, Offers};
use crate::peers::Peers as _;
use crate::{CERTIFICATE_LIFE, NodeKeys};

struct Follower {
    keys: NodeKeys,
    heard: EdgeNews,
    address: String,
}

impl Follower {
    /// An approved edge of this cluster, that knows its first node.
    fn of(cluster: &mut Cluster) -> Self {
        let keys = node_keys();
        let certificate = cluster.authority.issue_for_edge(&keys.key(), now()).unwrap();
        let edge = Edge {
            name: "edge".to_owned(),
            key: keys.key(),
            version: "0.1.0".to_owned(),
            certificate: Some(certificate),
            since: UnixMillis::new(1),
            token: [1; 16],
        };
        cluster.view.edges.insert(keys.node(), edge);
        let heard = edge::of(&cluster.view, keys.node(), &Offers::new()).unwrap();
        let address = cluster.view.members[&cluster.id(0)].peer_address.clone();
        Self { keys, heard, address }
    }

    async fn follow(&self) -> Result<EdgeConnection, ConnectError> {
        self.ask(&EdgeQuestion::Follow).await
    }

    async fn ask(&self, question: &impl Serialize) -> Result<EdgeConnection, ConnectError> {
        EdgeConnection::ask(&self.address, &link_key(&self.keys), &self.heard, question, PATIENCE).await
    }

    /// The refusal of a connection shows when something is to be read.
    async fn hears(&self) -> Result<EdgeAnswer, ConnectError> {
        self.follow().await?.next().await
    }
}

/// The next news, past the signs of life.
async fn news(connection: &mut EdgeConnection) -> EdgeNews {
    loop {
        if let EdgeAnswer::News(news) = connection.next().await.unwrap() {
            return EdgeNews::decode(&news).unwrap();
        }
    }
}

#[tokio::test]
async fn an_edge_hears_what_changes_until_it_is_removed() {
    let mut cluster = Cluster::of(2).await;
    let follower = Follower::of(&mut cluster);
    let node = cluster.start(0);
    let mut connection = follower.follow().await.unwrap();
    assert_eq!(news(&mut connection).await, follower.heard);
    assert_eq!(node.links.followers().into_iter().collect::<Vec<_>>(), [follower.keys.node()]);
    node.view.send_modify(|view| view.edge_generation += 1);
    assert_eq!(news(&mut connection).await.generation, follower.heard.generation + 1);
    node.view.send_modify(|view| drop(view.edges.remove(&follower.keys.node())));
    let ended = loop {
        match connection.next().await {
            Ok(EdgeAnswer::Still { .. }) => {}
            Ok(more) => panic!("{more:?}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(ended, ConnectError::Unreachable(_)), "{ended}");
    assert!(matches!(follower.hears().await, Err(ConnectError::Tls(_))), "and its certificate is worth nothing");
    eventually("nobody follows", || node.links.followers().is_empty()).await;
}

#[tokio::test]
async fn whatever_else_an_edge_asks_is_refused() {
    let mut cluster = Cluster::of(1).await;
    let follower = Follower::of(&mut cluster);
    let _node = cluster.start(0);
    let hello = Hello { versions: Versions::OURS, cluster: cluster.view.cluster, run: 1 };
    let call = Frame::Call { n: 1, question: Payload(Bytes::from_static(b"\x01\x05")) };
    let mut asked = vec![follower.ask(&hello).await.unwrap(), follower.ask(&call).await.unwrap()];
    asked.push(follower.ask(&1_u32).await.unwrap());
    for mut connection in asked {
        assert_eq!(connection.next().await.unwrap(), EdgeAnswer::Refused);
        assert!(connection.next().await.is_err(), "and it is closed");
    }
    // One that follows and asks for more.
    let mut connection = follower.follow().await.unwrap();
    news(&mut connection).await;
    let mut more = Vec::new();
    put(&call, &mut more).unwrap();
    connection.stream.write_all(&more).await.unwrap();
    connection.stream.flush().await.unwrap();
    loop {
        match connection.next().await.unwrap() {
            EdgeAnswer::Refused => break,
            EdgeAnswer::Still { .. } => {}
            EdgeAnswer::News(_) => panic!("there are none"),
        }
    }
    assert!(connection.next().await.is_err());
}

#[tokio::test]
async fn the_certificate_of_an_edge_opens_no_link_and_answers_for_no_node() {
    let mut cluster = Cluster::of(2).await;
    let follower = Follower::of(&mut cluster);
    let node = cluster.start(1);
    // It dials as a member would, with a view in which it is one.
    let mut view = cluster.view.clone();
    let (edge, key) = (follower.keys.node(), link_key(&follower.keys));
    let member = crate::Member { key: follower.keys.key(), ..view.members[&cluster.id(0)].clone() };
    view.members.insert(edge, member);
    view.certificates.insert(edge, follower.heard.certificate.clone());
    let linked = dial(Own { key: &key, run: 1, versions: Versions::OURS, view: &view }, cluster.id(1)).await;
    assert!(matches!(linked, Err(ConnectError::Tls(_))), "it is no member");
    assert_eq!(node.links.links(), []);

    // It listens in the place of a node, with the authority that it knows.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = key.join_server(&view).unwrap();
    let posing = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        TlsAcceptor::from(Arc::new(server)).accept(tcp).await.map(|_| ())
    });
    let client = join_client(cluster.authority.certificate().key).unwrap();
    let tcp = TcpStream::connect(&address).await.unwrap();
    let nobody = ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into());
    let believed = TlsConnector::from(Arc::new(client)).connect(nobody, tcp).await;
    assert!(believed.is_err(), "a node that joins does not believe it");
    assert!(posing.await.unwrap().is_err());
}

#[tokio::test]
async fn only_a_valid_certificate_of_an_approved_edge_is_believed() {
    let mut cluster = Cluster::of(1).await;
    let mut follower = Follower::of(&mut cluster);
    let node = cluster.start(0);
    assert!(matches!(follower.hears().await, Ok(EdgeAnswer::News(_))));
    let good = follower.heard.certificate.clone();
    let old = now().minus(CERTIFICATE_LIFE + Duration::from_secs(3600));
    follower.heard.certificate = cluster.authority.issue_for_edge(&follower.keys.key(), old).unwrap();
    assert!(matches!(follower.hears().await, Err(ConnectError::Tls(_))), "expired");
    follower.heard.certificate = good.clone();
    let own = std::mem::replace(&mut follower.keys, node_keys());
    assert!(follower.hears().await.is_err(), "a certificate that was copied");
    follower.keys = own;
    // The edge for its part believes nodes that it knows, of an authority that it knows.
    let nodes = std::mem::take(&mut follower.heard.nodes);
    assert!(matches!(follower.hears().await, Err(ConnectError::Untrusted(_))));
    follower.heard.nodes = nodes;
    let another = authority().certificate().clone();
    let authorities = std::mem::replace(&mut follower.heard.authorities, vec![another]);
    assert!(matches!(follower.hears().await, Err(ConnectError::Untrusted(_))));
    follower.heard.authorities = authorities;
    node.view.send_modify(|view| {
        if let Some(edge) = view.edges.get_mut(&follower.keys.node()) {
            edge.certificate = None;
        }
    });
    assert!(matches!(follower.hears().await, Err(ConnectError::Tls(_))), "not approved");
}

#[tokio::test]
async fn an_edge_that_acknowledges_nothing_does_not_keep_its_place() {
    let mut cluster = Cluster::of(1).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let follower = Follower::of(&mut cluster);
    let follower = Follower { address: listener.local_addr().unwrap().to_string(), ..follower };
    let following = tokio::spawn(async move { follower.follow().await });
    let (tcp, _) = listener.accept().await.unwrap();
    let key = link_key(&cluster.keys[0]);
    let own = Own { key: &key, run: 1, versions: Versions::OURS, view: &cluster.view };
    let Ok(Incoming::Edge(stream, _)) = accept(own, tcp).await else { panic!("it is an edge") };
    // What the kernel does then cannot be seen without cutting a network.
    let patience = socket2::SockRef::from(stream.get_ref().0).tcp_user_timeout().unwrap();
    assert_eq!(patience, Some(EDGE_SILENCE_MAX * 2));
    following.await.unwrap().unwrap();
}
