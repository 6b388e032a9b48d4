//! Pictures of messages, from the profile to what can be drawn.

use endtoend_client::database::MessageRef;
use endtoend_client::engine::EngineHandle;
use endtoend_client::handle::Handle;

use crate::failure::Failure;
use crate::picture::{self, Drawn, Scale};

/// Opens the file of a message in memory and unpacks it, on a thread that nobody waits for but who asked. A decoder that stumbles
/// over what somebody has sent takes that thread with it and nothing else.
pub(super) async fn draw(engine: &EngineHandle, with: &Handle, of: MessageRef, scale: Scale) -> Result<Drawn, Failure> {
    let bytes = engine.read_file(with.clone(), of.id).await?;
    let drawn = tokio::task::spawn_blocking(move || picture::draw(&bytes, scale)).await;
    Ok(drawn.map_err(|_| Failure::new("picture-bad"))??)
}
