//! The secure channel over a fresh WebSocket: the client's side of the handshake.

use std::io;

use endtoend_crypto_core::channel::{Assembler, Channel, ChannelError, Initiator, Introduction, Step, chunks};
use endtoend_protocol::limits;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::{self, Message};

use super::link::Socket;
use super::{ConnectError, Untrusted};
use crate::clock;

/// Hears the introduction, checks that it is the pinned server's, and agrees on keys.
pub(super) async fn open(socket: &mut Socket, identity: &[u8; 32]) -> Result<Channel, ConnectError> {
    let introduction = hear(socket, Step::Introduction).await?;
    let introduction = Introduction::read(&introduction).map_err(refused)?;
    let skew_ms = u64::try_from(limits::CLOCK_SKEW_MAX.as_millis()).unwrap_or_default();
    introduction.check(identity, clock::now().get(), skew_ms).map_err(|error| match error {
        ChannelError::WrongIdentity => Untrusted::WrongIdentity { presented: introduction.fingerprint }.into(),
        other => refused(other),
    })?;
    let begun = Initiator::start(&mut rand::rng(), &introduction.keys, introduction.as_bytes());
    let (initiator, initiate) = begun.map_err(refused)?;
    for chunk in chunks(Step::Initiate, &initiate) {
        socket.send(Message::Binary(chunk.into())).await.map_err(lost)?;
    }
    initiator.finish(&hear(socket, Step::Respond).await?).map_err(refused)
}

/// The next message of the handshake.
async fn hear(socket: &mut Socket, step: Step) -> Result<Vec<u8>, ConnectError> {
    let mut assembler = Assembler::new(step);
    loop {
        match socket.next().await.ok_or_else(ended)?.map_err(lost)? {
            Message::Binary(chunk) => {
                if let Some(message) = assembler.push(&chunk).map_err(refused)? {
                    return Ok(message);
                }
            }
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(_) => return Err(ended()),
            Message::Text(_) | Message::Frame(_) => return Err(ConnectError::NotAnEndtoendServer),
        }
    }
}

fn ended() -> ConnectError {
    ConnectError::Unreachable(io::ErrorKind::UnexpectedEof.into())
}

fn lost(error: tungstenite::Error) -> ConnectError {
    match error {
        tungstenite::Error::Io(error) => ConnectError::Unreachable(error),
        tungstenite::Error::ConnectionClosed
        | tungstenite::Error::AlreadyClosed
        | tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => ended(),
        _ => ConnectError::NotAnEndtoendServer,
    }
}

fn refused(error: ChannelError) -> ConnectError {
    match error {
        ChannelError::Malformed | ChannelError::TooLarge => ConnectError::NotAnEndtoendServer,
        other => Untrusted::Channel(other).into(),
    }
}
