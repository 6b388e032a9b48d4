//! TLS without a buffer for each connection.
//!
//! What is read is opened in a buffer that all connections of a thread share, and what is written is sealed in one; only a
//! record of which a part is here, or one that the kernel does not take yet, is kept aside. An idle connection has its
//! keys and nothing else, where the usual way costs some 4 KiB.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_web::rt::net::TcpStream;
use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::node::OpenConnection;

/// Bytes that are read or sealed at one time: two full records.
const SCRATCH: usize = 2 * RECORD_MAX;
/// The longest record, and its head.
const RECORD_MAX: usize = 16 * 1024 + 256 + 5;
/// Bytes of a handshake message whose end has not come. What a client says is a tenth of it.
const UNFINISHED_MAX: usize = 64 * 1024;

thread_local! {
    static SCRATCH_IN: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
    static SCRATCH_OUT: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// The server's end of a TLS connection over TCP.
pub(super) struct TlsStream {
    tcp: TcpStream,
    tls: Box<UnbufferedServerConnection>,
    /// The beginning of a record.
    unfinished: Vec<u8>,
    /// Opened, and not asked for yet.
    opened: Opened,
    /// Sealed, and not taken by the kernel yet.
    sealed: Vec<u8>,
    said_goodbye: bool,
    /// Until the last byte has left.
    _open: OpenConnection,
}

/// Bytes that came out of records, and whether more may come.
#[derive(Debug, Default)]
struct Opened {
    bytes: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl TlsStream {
    /// Shakes hands.
    ///
    /// # Errors
    /// When the client does not speak TLS as we do, or goes away.
    pub(super) async fn accept(tcp: TcpStream, config: Arc<ServerConfig>, open: OpenConnection) -> io::Result<Self> {
        let tls = Box::new(UnbufferedServerConnection::new(config).map_err(io::Error::other)?);
        let (unfinished, sealed) = (Vec::new(), Vec::new());
        let opened = Opened::default();
        let mut stream = Self { tcp, tls, unfinished, opened, sealed, said_goodbye: false, _open: open };
        std::future::poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.is_handshaking() {
            ready!(self.poll_send(cx))?;
            ready!(self.poll_fill(cx))?;
            if self.opened.ended {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        self.poll_send(cx)
    }

    /// Reads once from the socket and opens what is whole.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        SCRATCH_IN.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buffer))?;
            let read = buffer.filled_mut();
            let advanced = if read.is_empty() {
                self.opened.ended = true;
                Ok(())
            } else if self.unfinished.is_empty() {
                advance(&mut self.tls, read, &mut self.opened, &mut self.sealed).map(|used| {
                    self.unfinished = read.get(used..).unwrap_or_default().to_vec();
                })
            } else {
                self.unfinished.extend_from_slice(read);
                advance(&mut self.tls, &mut self.unfinished, &mut self.opened, &mut self.sealed).map(|used| {
                    self.unfinished.drain(..used);
                    if self.unfinished.is_empty() {
                        self.unfinished = Vec::new();
                    }
                })
            };
            if advanced.is_err() || self.unfinished.len() > UNFINISHED_MAX {
                // What rustls has to say about it goes out, if the kernel takes it at once.
                let _ = self.poll_send(cx);
                advanced?;
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Hands over to the kernel what was sealed before.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.sealed.is_empty() {
            let taken = ready!(Pin::new(&mut self.tcp).poll_write(cx, &self.sealed))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sealed.drain(..taken);
        }
        self.sealed = Vec::new();
        Poll::Ready(Ok(()))
    }

    /// Seals with the thread's buffer and hands over what the kernel takes; the rest is kept.
    fn seal_and_send(
        &mut self,
        cx: &mut Context<'_>,
        seal: impl FnOnce(&mut UnbufferedServerConnection, &mut Vec<u8>, &mut Vec<u8>) -> io::Result<usize>,
    ) -> io::Result<()> {
        SCRATCH_OUT.with_borrow_mut(|scratch| {
            let length = seal(&mut self.tls, scratch, &mut self.sealed)?;
            let record = scratch.get(..length).unwrap_or_default();
            let mut taken = 0;
            // What the state had to say first goes first.
            if self.poll_send(cx)?.is_ready() {
                while taken < record.len()
                    && let rest = record.get(taken..).unwrap_or_default()
                    && let Poll::Ready(more) = Pin::new(&mut self.tcp).poll_write(cx, rest)?
                {
                    if more == 0 {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                    taken += more;
                }
            }
            self.sealed.extend_from_slice(record.get(taken..).unwrap_or_default());
            Ok(())
        })
    }
}

/// Lets the connection take one step after the other, until it needs more bytes or has nothing to do. Gives how many of
/// `incoming` are done with.
fn advance(
    tls: &mut UnbufferedServerConnection,
    incoming: &mut [u8],
    opened: &mut Opened,
    sealed: &mut Vec<u8>,
) -> io::Result<usize> {
    let mut used = 0;
    loop {
        let UnbufferedStatus { mut discard, state } =
            tls.process_tls_records(incoming.get_mut(used..).unwrap_or_default());
        let done = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(invalid)?;
                    discard += record.discard;
                    opened.bytes.extend_from_slice(record.payload);
                }
                false
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                encode(&mut data, sealed)?;
                false
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                false
            }
            Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                opened.ended = true;
                true
            }
            Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => true,
            // Early data is not offered.
            Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
            Err(error) => {
                // The alert that says why.
                if let Ok(ConnectionState::EncodeTlsData(mut data)) = tls.process_tls_records(&mut []).state {
                    encode(&mut data, sealed)?;
                }
                return Err(invalid(error));
            }
        };
        used += discard;
        if done {
            return Ok(used);
        }
    }
}

fn encode<Data>(data: &mut rustls::unbuffered::EncodeTlsData<'_, Data>, sealed: &mut Vec<u8>) -> io::Result<()> {
    let begin = sealed.len();
    if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) = data.encode(&mut []) {
        sealed.resize(begin + required_size, 0);
        data.encode(sealed.get_mut(begin..).unwrap_or_default()).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Seals into `scratch` and gives the length. What the connection wants to say before goes into `sealed`.
fn seal(
    tls: &mut UnbufferedServerConnection,
    scratch: &mut Vec<u8>,
    sealed: &mut Vec<u8>,
    mut how: impl FnMut(
        &mut rustls::unbuffered::WriteTraffic<'_, rustls::server::ServerConnectionData>,
        &mut [u8],
    ) -> Result<usize, EncryptError>,
) -> io::Result<usize> {
    loop {
        match tls.process_tls_records(&mut []).state.map_err(invalid)? {
            ConnectionState::WriteTraffic(mut traffic) => {
                return match how(&mut traffic, scratch) {
                    Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                        scratch.resize(required_size, 0);
                        how(&mut traffic, scratch)
                    }
                    other => other,
                }
                .map_err(io::Error::other);
            }
            ConnectionState::EncodeTlsData(mut data) => encode(&mut data, sealed)?,
            ConnectionState::TransmitTlsData(data) => data.done(),
            // Closed by the client: it hears nothing more.
            _ => return Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.opened.bytes.is_empty() && !this.opened.ended {
            ready!(this.poll_fill(cx))?;
            // An answer to a change of keys, at most: if the kernel does not take it, the next write does it.
            let _ = this.poll_send(cx)?;
        }
        let rest = this.opened.bytes.get(this.opened.taken..).unwrap_or_default();
        let taken = rest.len().min(buffer.remaining());
        buffer.put_slice(rest.get(..taken).unwrap_or_default());
        this.opened.taken += taken;
        if this.opened.taken == this.opened.bytes.len() {
            (this.opened.bytes, this.opened.taken) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        let piece = buffer.get(..buffer.len().min(SCRATCH - 1024)).unwrap_or_default();
        this.seal_and_send(cx, |tls, scratch, sealed| {
            seal(tls, scratch, sealed, |traffic, scratch| traffic.encrypt(piece, scratch))
        })?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.said_goodbye {
            this.said_goodbye = true;
            this.seal_and_send(cx, |tls, scratch, sealed| {
                seal(tls, scratch, sealed, |traffic, scratch| traffic.queue_close_notify(scratch))
            })?;
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.tcp).poll_shutdown(cx)
    }
}
