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
pub(super) const SCRATCH: usize = 2 * RECORD_MAX;
/// The longest record, and its head.
const RECORD_MAX: usize = 16 * 1024 + 256 + 5;
/// Bytes of a handshake message whose end has not come. What a client says is a tenth of it.
const UNFINISHED_MAX: usize = 64 * 1024;

thread_local! {
    /// Room for the beginning of a record, and for what is read behind it.
    static SCRATCH_IN: RefCell<Vec<u8>> = RefCell::new(vec![0; UNFINISHED_MAX + SCRATCH]);
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

/// Bytes that came out of records and found no room with the reader, and whether more may come.
#[derive(Debug, Default)]
struct Opened {
    bytes: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl Opened {
    /// What has room goes to the reader, unless something older waits for it.
    fn take(&mut self, payload: &[u8], reader: &mut ReadBuf<'_>) {
        let room = if self.bytes.is_empty() { reader.remaining() } else { 0 };
        let (now, later) = payload.split_at(room.min(payload.len()));
        reader.put_slice(now);
        self.bytes.extend_from_slice(later);
    }
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
            ready!(self.poll_fill(cx, &mut ReadBuf::new(&mut [])))?;
            // What a client says with its last step, its goodbye too, is for whoever reads.
            if self.opened.ended && self.tls.is_handshaking() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        self.poll_send(cx)
    }

    /// Reads once from the socket and opens what is whole, for the reader as far as it has room.
    fn poll_fill(&mut self, cx: &mut Context<'_>, reader: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        SCRATCH_IN.with_borrow_mut(|scratch| {
            let mut behind = ReadBuf::new(scratch.get_mut(UNFINISHED_MAX..).unwrap_or_default());
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut behind))?;
            let read = behind.filled().len();
            let advanced = if read == 0 {
                self.opened.ended = true;
                Ok(())
            } else {
                let begin = UNFINISHED_MAX - self.unfinished.len();
                let incoming = scratch.get_mut(begin..UNFINISHED_MAX + read).unwrap_or_default();
                for (to, begun) in incoming.iter_mut().zip(&self.unfinished) {
                    *to = *begun;
                }
                let advanced = advance(&mut self.tls, incoming, reader, &mut self.opened, &mut self.sealed);
                advanced.map(|used| self.unfinished = incoming.get(used..).unwrap_or_default().to_vec())
            };
            if advanced.is_err() || self.unfinished.len() > UNFINISHED_MAX {
                self.unfinished = Vec::new();
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
    reader: &mut ReadBuf<'_>,
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
                    opened.take(record.payload, reader);
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
        let before = buffer.filled().len();
        while this.opened.bytes.is_empty() && buffer.filled().len() == before && !this.opened.ended {
            ready!(this.poll_fill(cx, buffer))?;
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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener};

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::crypto::aws_lc_rs::default_provider;
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::node::OpenConnections;

    fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (Arc::new(server), Arc::new(client))
    }

    /// A socket that takes so many bytes at a time.
    struct Drip(std::net::TcpStream, usize);
    impl io::Read for Drip {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }
    impl io::Write for Drip {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(&bytes[..bytes.len().min(self.1)])
        }
        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }

    fn connect(server: SocketAddr, config: Arc<ClientConfig>, drip: usize) -> StreamOwned<ClientConnection, Drip> {
        let tcp = std::net::TcpStream::connect(server).unwrap();
        tcp.set_nodelay(true).unwrap();
        StreamOwned::new(
            ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap(),
            Drip(tcp, drip),
        )
    }

    fn listener() -> (tokio::net::TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        (tokio::net::TcpListener::from_std(listener).unwrap(), address)
    }

    async fn accept(listener: &tokio::net::TcpListener, config: Arc<ServerConfig>) -> io::Result<TlsStream> {
        let (tcp, _) = listener.accept().await?;
        TlsStream::accept(tcp, config, OpenConnections::none().enter()).await
    }

    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    #[tokio::test]
    async fn whatever_is_said_arrives_in_both_directions_and_leaves_no_buffer() {
        let (server, client) = configs();
        for (length, drip) in [(0, 1), (1, 1), (100, 1), (20_000, 7), (300_000, 1_000_000)] {
            let (listener, address) = listener();
            let config = Arc::clone(&client);
            let client = std::thread::spawn(move || {
                let mut tls = connect(address, config, drip);
                tls.write_all(&pattern(length)).unwrap();
                tls.flush().unwrap();
                let mut echoed = vec![0; length];
                tls.read_exact(&mut echoed).unwrap();
                assert_eq!(echoed, pattern(length));
                tls.conn.send_close_notify();
                tls.flush().unwrap();
                let mut rest = Vec::new();
                assert_eq!(tls.read_to_end(&mut rest).unwrap(), 0, "a goodbye and nothing else");
            });
            let mut tls = accept(&listener, Arc::clone(&server)).await.unwrap();
            let mut heard = vec![0; length];
            tls.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, pattern(length));
            let kept = [tls.opened.bytes.capacity(), tls.unfinished.capacity(), tls.sealed.capacity()];
            tls.write_all(&heard).await.unwrap();
            tls.flush().await.unwrap();
            // Without anything to say the goodbye may be under way already, byte by byte.
            if drip > length && length > 0 {
                assert_eq!(kept, [0; 3], "nothing is under way");
            }
            assert_eq!(tls.sealed.capacity(), 0);
            assert_eq!(tls.read(&mut [0; 16]).await.unwrap(), 0, "the client has said goodbye");
            tls.shutdown().await.unwrap();
            client.join().unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_no_tls_is_refused_with_an_alert() {
        let (server, _) = configs();
        let (listener, address) = listener();
        let client = std::thread::spawn(move || {
            let mut tcp = std::net::TcpStream::connect(address).unwrap();
            tcp.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            let mut answer = Vec::new();
            let _ = tcp.read_to_end(&mut answer);
            answer
        });
        let refused = accept(&listener, server).await.map(drop).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        assert_eq!(client.join().unwrap().first(), Some(&21), "an alert");
    }

    #[tokio::test]
    async fn a_forged_record_ends_the_connection() {
        let (server, client) = configs();
        let (listener, address) = listener();
        let (heard_it, go_on) = std::sync::mpsc::channel();
        let client = std::thread::spawn(move || {
            let mut tls = connect(address, client, usize::MAX);
            tls.write_all(b"honest").unwrap();
            tls.flush().unwrap();
            go_on.recv().unwrap();
            tls.sock.0.write_all(&[23, 3, 3, 0, 32]).unwrap();
            tls.sock.0.write_all(&[0; 32]).unwrap();
            let _ = tls.read(&mut [0; 1]);
        });
        let mut tls = accept(&listener, server).await.unwrap();
        let mut heard = [0; 6];
        tls.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"honest");
        heard_it.send(()).unwrap();
        assert_eq!(tls.read(&mut heard).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(tls);
        client.join().unwrap();
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_written_to_no_further() {
        let (server, client) = configs();
        let (listener, address) = listener();
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let client = std::thread::spawn(move || {
            let mut tls = connect(address, client, usize::MAX);
            tls.write_all(b"here").unwrap();
            tls.flush().unwrap();
            let _ = wait.recv();
        });
        let mut tls = accept(&listener, server).await.unwrap();
        let piece = pattern(64 * 1024);
        let mut taken = 0;
        let stalled = std::future::poll_fn(|cx| {
            loop {
                match Pin::new(&mut tls).poll_write(cx, &piece) {
                    Poll::Ready(Ok(written)) => taken += written,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Ready(Ok(())),
                }
            }
        });
        stalled.await.unwrap();
        assert!(taken > 0 && tls.sealed.len() <= SCRATCH + 1024, "{taken} taken, {} kept", tls.sealed.len());
        drop(done);
        client.join().unwrap();
    }
}
