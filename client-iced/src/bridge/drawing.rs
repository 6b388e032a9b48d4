//! Pictures of messages and of people, from the profile to what can be drawn.

use endtoend_client::database::MessageRef;
use endtoend_client::engine::EngineHandle;
use endtoend_client::face::{Face, Portrait};
use endtoend_client::handle::Handle;

use crate::failure::Failure;
use crate::order::{FaceChange, FaceRef, OwnFace, PictureChange};
use crate::picture::{self, Drawn, Scale, Undrawable};

/// Opens the file of a message in memory and unpacks it, on a thread that nobody waits for but who asked. A decoder that stumbles
/// over what somebody has sent takes that thread with it and nothing else.
pub(super) async fn draw(engine: &EngineHandle, with: &Handle, of: MessageRef, scale: Scale) -> Result<Drawn, Failure> {
    let bytes = engine.read_file(with.clone(), of.id).await?;
    unpacked(move || picture::draw(&bytes, scale)).await
}

/// The picture that somebody shows. `None` when it cannot be drawn, or is another one by now: that one has another name.
pub(super) async fn face(engine: &EngineHandle, of: &FaceRef) -> Option<Drawn> {
    let portrait = engine.face(Some(of.of.clone())).await.ok()?.portrait?;
    let scale = of.scale;
    if portrait.hash() != of.hash {
        return None;
    }
    unpacked(move || picture::draw_face(portrait.as_bytes(), scale)).await.ok()
}

/// How this account shows itself.
pub(super) async fn own_face(engine: &EngineHandle) -> Result<Box<OwnFace>, Failure> {
    drawn(engine.face(None).await?).await
}

async fn drawn(face: Face) -> Result<Box<OwnFace>, Failure> {
    let Face { name, portrait } = face;
    let pictures = match portrait {
        None => None,
        Some(portrait) => {
            let draw = move |scale| picture::draw_face(portrait.as_bytes(), scale);
            Some(unpacked(move || Ok([draw(Scale::Small)?, draw(Scale::Large)?])).await?)
        }
    };
    Ok(Box::new(OwnFace { name, pictures }))
}

/// Shows this account otherwise, and says how.
pub(super) async fn set_face(engine: &EngineHandle, change: FaceChange) -> Result<Box<OwnFace>, Failure> {
    let mut face = engine.face(None).await?;
    if let Some(name) = change.name {
        face.name = name;
    }
    match change.picture {
        PictureChange::None => {}
        PictureChange::Remove => face.portrait = None,
        PictureChange::New(source, cut) => {
            let made = tokio::task::spawn_blocking(move || Portrait::made_of(&source.bytes, cut)).await;
            face.portrait = Some(made.map_err(|_| Failure::new("portrait-bad"))??);
        }
    }
    engine.set_face(face.clone()).await?;
    drawn(face).await
}

async fn unpacked<T: Send + 'static>(
    draw: impl FnOnce() -> Result<T, Undrawable> + Send + 'static,
) -> Result<T, Failure> {
    let drawn = tokio::task::spawn_blocking(draw).await;
    Ok(drawn.map_err(|_| Failure::new("picture-bad"))??)
}
