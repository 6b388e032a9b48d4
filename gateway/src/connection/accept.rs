//! From a TCP connection to a WebSocket: a thread, TLS, one HTTP request, and the actor that speaks from then on.

use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_codec::{Framed, FramedParts};
use actix_http::body::{BodySize, MessageBody as _};
use actix_http::error::DispatchError;
use actix_http::h1::{Codec as HttpCodec, H1Service, Message as HttpMessage};
use actix_http::ws::{self, Codec};
use actix_http::{HttpService, Request, Response, StatusCode, header};
use actix_service::{Service, ServiceFactory, fn_factory, fn_service};
use actix_web::rt::net::TcpStream;
use actix_web::rt::time::timeout;
use endtoend_crypto_core::channel::RECORD_OVERHEAD;
use endtoend_protocol::limits;
use futures_util::SinkExt as _;
use rand::RngExt as _;
use rustls::ServerConfig;

use super::actor::Connection;
use super::edges::Edges;
use super::socket;
use super::threads::Threads;
use super::tls::TlsStream;
use crate::limits::Origin;
use crate::metrics::{Metrics, Step};
use crate::node::{Node, OpenConnection, OpenConnections, come_back_after};

/// A peer that does not take what is written to it for this long is gone, or wants us to keep it.
const WRITE_STALL_MAX: Duration = Duration::from_secs(60);

/// What becomes of a TCP connection. It is over when this is, and the other way round.
pub(crate) fn service(
    node: Arc<Node>,
    tls: Arc<ServerConfig>,
    open: OpenConnections,
    edges: Edges,
    threads: Arc<Threads>,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = (), InitError = ()> {
    fn_factory(move || {
        let (node, tls, open, edges) = (Arc::clone(&node), Arc::clone(&tls), open.clone(), edges.clone());
        let hand_over = threads.next(async move || {
            let (metrics, http) = (Arc::clone(&node.metrics), Rc::new(http(node).new_service(()).await?));
            Ok(move |tcp, open| {
                let (edges, tls, metrics) = (edges.clone(), Arc::clone(&tls), Arc::clone(&metrics));
                connection(tcp, edges, tls, open, metrics, Rc::clone(&http))
            })
        });
        let carry = move |tcp: TcpStream| {
            let (tcp, open, hand_over) = (tcp.into_std(), open.enter(), hand_over.clone());
            async move {
                if let Ok(tcp) = tcp {
                    hand_over.carry(tcp, open).await;
                }
                Ok(())
            }
        };
        ready(Ok(fn_service(carry)))
    })
}

async fn connection(
    tcp: std::net::TcpStream,
    edges: Edges,
    tls: Arc<ServerConfig>,
    open: OpenConnection,
    metrics: Arc<Metrics>,
    http: Rc<impl Service<(TlsStream, Option<SocketAddr>), Error = DispatchError>>,
) {
    // Fails only when the system has no room for it.
    let Ok(tcp) = TcpStream::from_std(tcp) else { return };
    let Ok(stream) = secure(tcp, edges, tls, open, metrics).await else { return };
    if let Err(error) = http.call(stream).await {
        tracing::debug!(%error, "a connection ended before it was one");
    }
}

async fn secure(
    mut tcp: TcpStream,
    edges: Edges,
    tls: Arc<ServerConfig>,
    open: OpenConnection,
    metrics: Arc<Metrics>,
) -> Result<(TlsStream, Option<SocketAddr>), ()> {
    let socket = socket2::SockRef::from(&tcp);
    // Best effort: without them a dead peer is noticed later.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_user_timeout(Some(WRITE_STALL_MAX));
    let peer = tcp.peer_addr().ok();
    // On the heap while it lasts: what a handshake needs is many times what is left of it.
    let accepted = Box::pin(async {
        let client = edges.client(&mut tcp, peer).await?;
        TlsStream::accept(tcp, tls, open).await.map(|stream| (stream, client))
    });
    let accepted = timeout(limits::HELLO_DEADLINE, accepted).await;
    metrics.step(Step::Tls, matches!(accepted, Ok(Ok(_))));
    match accepted {
        Ok(Ok(accepted)) => Ok(accepted),
        Ok(Err(error)) => {
            tracing::debug!(%error, "no TLS");
            Err(())
        }
        Err(_) => Err(()),
    }
}

/// Whatever is no WebSocket for `/v1` is not found.
fn http(
    node: Arc<Node>,
) -> impl ServiceFactory<(TlsStream, Option<SocketAddr>), Config = (), Response = (), Error = DispatchError, InitError = ()>
{
    let service: H1Service<TlsStream, _, _, _, _> = HttpService::build()
        .client_request_timeout(limits::HELLO_DEADLINE)
        .secure()
        .upgrade(fn_service(move |(request, framed)| upgrade(request, framed, Arc::clone(&node))))
        .h1(fn_service(async |_: Request| Ok::<_, Infallible>(Response::not_found())));
    service
}

/// A node that drains answers 503. Whoever goes away meanwhile needs no answer.
async fn upgrade(request: Request, mut http: Framed<TlsStream, HttpCodec>, node: Arc<Node>) -> Result<(), Infallible> {
    let answer = match ws::handshake(request.head()) {
        Ok(_) if let Some(spread) = node.lifecycle().spread() => {
            let after = come_back_after(spread, rand::rng().random()).as_secs() + 1;
            Response::build(StatusCode::SERVICE_UNAVAILABLE)
                .insert_header((header::RETRY_AFTER, after))
                .finish()
                .map_into_boxed_body()
        }
        Ok(mut answer) if request.path() == "/v1" => answer.finish().map_into_boxed_body(),
        Ok(_) => Response::not_found(),
        Err(refused) => refused.into(),
    };
    let accepted = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    let size = if accepted { BodySize::None } else { answer.body().size() };
    let said = http.send(HttpMessage::Item((answer.drop_body(), size))).await;
    node.metrics.step(Step::Websocket, said.is_ok() && accepted);
    if said.is_err() || !accepted {
        let _ = http.close().await;
        return Ok(());
    }
    let origin = Origin::of(request.peer_addr().map(|address| address.ip()));
    drop(request);
    // The buffers of HTTP end here.
    let FramedParts { io, read_buf, .. } = http.into_parts();
    let codec = Codec::new().max_size(limits::FRAME_BYTES_MAX + RECORD_OVERHEAD);
    socket::run(Connection::new(node, origin), io, read_buf, codec).await;
    Ok(())
}
