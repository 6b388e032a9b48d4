//! The HTTP listener for programs that watch the node.

use std::any::Any;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{self, Server, ServerHandle};
use actix_web::http::header::CACHE_CONTROL;
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpResponse, HttpServer, web};
use serde_json::json;

use super::readiness::Reason;
use super::scrape::Watched;
use crate::metrics::CONTENT_TYPE;

/// Connections at one time. At the bound: the next one waits until one ends.
const CONNECTIONS_MAX: usize = 32;
/// A request must be there within this time, and again on a connection that is kept.
const REQUEST_DEADLINE: Duration = Duration::from_secs(5);
/// A connection that does not take an answer for this long is ended.
const WRITE_STALL_MAX: Duration = Duration::from_secs(10);

/// A running listener.
pub(crate) struct AdminListener {
    pub(crate) address: SocketAddr,
    handle: ServerHandle,
}

impl AdminListener {
    /// Ends it and its connections. It goes last, so that whoever asks hears to the end how the node is.
    pub(crate) async fn stop(self) {
        self.handle.stop(false).await;
    }
}

/// Takes connections from these sockets, on a thread of its own, so that it answers whatever the others do.
///
/// # Errors
/// When one cannot be used.
pub(crate) fn listen(sockets: Vec<(TcpListener, SocketAddr)>, watched: Arc<Watched>) -> io::Result<AdminListener> {
    let watched = web::Data::from(watched);
    let app = move || {
        App::new()
            .app_data(watched.clone())
            .route("/healthz", web::get().to(healthz))
            .route("/readyz", web::get().to(readyz))
            .route("/metrics", web::get().to(metrics))
    };
    let server = HttpServer::new(app)
        .workers(1)
        .max_connections(CONNECTIONS_MAX)
        .client_request_timeout(REQUEST_DEADLINE)
        .client_disconnect_timeout(REQUEST_DEADLINE)
        .keep_alive(REQUEST_DEADLINE)
        .shutdown_timeout(0)
        .disable_signals()
        .on_connect(bound_writes);
    let server = sockets.into_iter().try_fold(server, |server, (socket, _)| server.listen(socket))?;
    let address = server.addrs().first().copied().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let server: Server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    Ok(AdminListener { address, handle })
}

fn bound_writes(connection: &dyn Any, _: &mut dev::Extensions) {
    if let Some(tcp) = connection.downcast_ref::<TcpStream>() {
        // Best effort: without it a reader that stops keeps its place until it ends.
        let _ = socket2::SockRef::from(tcp).set_tcp_user_timeout(Some(WRITE_STALL_MAX));
    }
}

/// The process answers: nothing more is said.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).body("ok\n")
}

async fn readyz(watched: web::Data<Watched>) -> HttpResponse {
    let reasons = watched.readiness.reasons().await;
    let mut response = if reasons.is_empty() { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    let names: Vec<_> = reasons.iter().copied().map(Reason::as_str).collect();
    let body = json!({ "ready": names.is_empty(), "reasons": names });
    response.insert_header((CACHE_CONTROL, "no-store")).json(body)
}

async fn metrics(watched: web::Data<Watched>) -> HttpResponse {
    let text = watched.expose().await;
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).content_type(CONTENT_TYPE).body(text)
}
