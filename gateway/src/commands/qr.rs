//! QR codes as text: two modules in each character, light on dark as most terminals are.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// The code of a text, with its margin; `None` when the text is too long for one.
pub(super) fn text(text: &str) -> Option<String> {
    // A screen is not scratched: the least correction makes the smallest code.
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    Some(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}
