//! The server's side of the secure channel, for tests that play a server.

use endtoend_crypto_core::channel::{Assembler, Channel, Introduction, StaticKeys, Step, chunks, fingerprint, respond};
use endtoend_crypto_core::signature::SigningKey;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::clock;

const HOUR_MS: u64 = 3_600_000;

/// A server's identity with its static keys.
pub(crate) struct ServerIdentity {
    key: SigningKey,
    keys: StaticKeys,
    /// Makes the introduction of another time.
    pub(crate) clock_ahead_ms: i64,
}

impl ServerIdentity {
    pub(crate) fn new() -> Self {
        let rng = &mut rand::rng();
        Self { key: SigningKey::generate(rng), keys: StaticKeys::generate(rng), clock_ahead_ms: 0 }
    }

    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        fingerprint(&self.key.verifying_key())
    }

    /// `None` when the client leaves or does not do its part.
    pub(crate) async fn accept<S>(&self, socket: &mut WebSocketStream<S>) -> Option<Channel>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let now = clock::now().get().saturating_add_signed(self.clock_ahead_ms);
        let introduction = Introduction::sign(&self.key, self.keys.public(), now, now + HOUR_MS);
        for chunk in chunks(Step::Introduction, &introduction) {
            socket.send(Message::Binary(chunk.into())).await.ok()?;
        }
        let mut assembler = Assembler::new(Step::Initiate);
        let initiate = loop {
            let message = socket.next().await?.ok()?;
            if let Some(initiate) = assembler.push(&message.into_data()).ok()? {
                break initiate;
            }
        };
        let (answer, channel) = respond(&mut rand::rng(), &self.keys, &introduction, &initiate).ok()?;
        for chunk in chunks(Step::Respond, &answer) {
            socket.send(Message::Binary(chunk.into())).await.ok()?;
        }
        Some(channel)
    }
}
