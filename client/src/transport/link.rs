//! A live connection: frames out, frames in, each a record of the secure channel.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use endtoend_crypto_core::channel::{Channel, Opener, Sealer};
use endtoend_protocol::{ClientFrame, DecodeError, ServerFrame, limits};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::{timeout, timeout_at};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};

use super::stream::Stream;
use super::{LinkError, Pace, Said, Way};
use crate::clock::{self, Instant};

pub(super) type Socket = WebSocketStream<TlsStream<Stream>>;

/// A connection to a server whose certificates and identity were checked. Nobody has logged in yet.
#[derive(Debug)]
pub struct Link {
    socket: Socket,
    channel: Channel,
    opened: Instant,
    group: &'static str,
    way: Way,
}

impl Link {
    pub(super) fn new(socket: Socket, channel: Channel, group: &'static str, way: Way) -> Self {
        Self { socket, channel, opened: clock::monotonic(), group, way }
    }

    /// The way that it goes.
    pub const fn way(&self) -> Way {
        self.way
    }

    /// Names this secure channel, at both ends and nowhere else. What a device proof covers.
    pub const fn channel_binding(&self) -> [u8; 32] {
        self.channel.binding
    }

    /// The key exchange of the TLS connection, like `X25519MLKEM768`.
    pub const fn negotiated_group(&self) -> &'static str {
        self.group
    }

    /// The two directions, for two tasks.
    pub fn split(self) -> (LinkSender, LinkReceiver) {
        let Self { socket, channel: Channel { sealer, opener, .. }, opened, way, .. } = self;
        let (sink, stream) = socket.split();
        let idle_max = Pace::of(way).idle_max;
        let receiver = LinkReceiver { stream, opener, heard: clock::monotonic(), idle_max };
        (LinkSender { sink, sealer, opened, idle_max }, receiver)
    }
}

/// Sends frames. Dropping both halves closes the socket without a goodbye; see [`LinkSender::close`].
#[derive(Debug)]
pub struct LinkSender {
    sink: SplitSink<Socket, Message>,
    sealer: Sealer,
    opened: Instant,
    idle_max: Duration,
}

impl LinkSender {
    /// Hands the frame to the network and returns its bytes inside TLS: record and WebSocket header.
    ///
    /// Waits while the server does not read, at most [`Pace::idle_max`]. Not cancel-safe: after a dropped
    /// `send` the frame may or may not arrive, and the server may find a record missing and end the connection.
    ///
    /// # Errors
    /// `Protocol` for a frame above the limit, of which nothing is sent; otherwise the connection has ended.
    pub async fn send(&mut self, frame: &ClientFrame) -> Result<usize, LinkError> {
        let payload = frame.encode();
        let len = payload.len();
        if len > limits::FRAME_BYTES_MAX {
            return Err(DecodeError::TooLarge { len }.into());
        }
        let record = self.sealer.seal(&payload, clock::monotonic().duration_since(self.opened))?;
        let len = record.len();
        let sending = self.sink.send(Message::Binary(record.into()));
        timeout(self.idle_max, sending).await.map_err(|_| LinkError::Silent(self.idle_max))??;
        Ok(len + header_bytes(len))
    }

    /// Says goodbye. Whoever holds the receiver may read on until it reports `Closed`.
    ///
    /// # Errors
    /// `Lost` or `Silent` when the goodbye did not leave; the connection is over all the same.
    pub async fn close(mut self) -> Result<(), LinkError> {
        match timeout(self.idle_max, self.sink.close()).await.map_err(|_| LinkError::Silent(self.idle_max))? {
            Ok(()) | Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Length of a client's WebSocket frame header with its mask (RFC 6455, section 5.2).
const fn header_bytes(payload: usize) -> usize {
    match payload {
        0..=125 => 6,
        126..=65_535 => 8,
        _ => 14,
    }
}

/// Receives frames.
#[derive(Debug)]
pub struct LinkReceiver {
    stream: SplitStream<Socket>,
    opener: Opener,
    heard: Instant,
    idle_max: Duration,
}

impl LinkReceiver {
    /// The next frame. Answers pings on the way and skips kinds of frame that this build does not know.
    ///
    /// Cancel-safe: a dropped `recv` loses nothing and does not start the idle time over.
    ///
    /// # Errors
    /// `Protocol(Invalid)` concerns one frame only; after any other error the connection has ended.
    pub async fn recv(&mut self) -> Result<ServerFrame, LinkError> {
        loop {
            let message = timeout_at(self.heard + self.idle_max, self.stream.next())
                .await
                .map_err(|_| LinkError::Silent(self.idle_max))?
                .ok_or(LinkError::Closed { said: None })??;
            self.heard = clock::monotonic();
            let bytes: Bytes = match message {
                Message::Binary(record) => self.opener.open(&record)?.into(),
                Message::Ping(_) | Message::Pong(_) => continue,
                Message::Close(_) => return Err(LinkError::Closed { said: None }),
                Message::Text(_) | Message::Frame(_) => return Err(DecodeError::Malformed.into()),
            };
            match ServerFrame::decode(bytes) {
                Ok(ServerFrame::Closing { reason, after_ms }) => {
                    let come_back_after = Duration::from_millis(after_ms).min(limits::COME_BACK_MAX);
                    let said = Said { reason, come_back_after };
                    return Err(LinkError::Closed { said: Some(said) });
                }
                Ok(frame) => return Ok(frame),
                Err(DecodeError::Unsupported { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl From<tungstenite::Error> for LinkError {
    fn from(error: tungstenite::Error) -> Self {
        use tungstenite::Error;
        use tungstenite::error::{CapacityError, ProtocolError};
        match error {
            Error::ConnectionClosed | Error::AlreadyClosed => Self::Closed { said: None },
            Error::Io(error) => Self::Lost(error),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                Self::Lost(io::ErrorKind::UnexpectedEof.into())
            }
            Error::Capacity(CapacityError::MessageTooLong { size, .. }) => {
                Self::Protocol(DecodeError::TooLarge { len: size })
            }
            _ => Self::Protocol(DecodeError::Malformed),
        }
    }
}
