//! QR codes as text: two modules in each character, light on dark as most terminals are.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// The code of a text, with its margin; `None` when the text is too long for one.
pub(crate) fn text(text: &str) -> Option<String> {
    // A screen is not scratched: the least correction makes the smallest code.
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    Some(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_fits_on_a_screen() {
        let link = format!(
            "endtoend://chat.example.org:8443/#pin={}&handle=alice&identity={}",
            "0".repeat(128),
            "0".repeat(66)
        );
        let code = text(&link).unwrap();
        let lines: Vec<_> = code.lines().collect();
        assert!(lines.len() <= 40 && lines.iter().all(|line| line.chars().count() <= 78), "{}", lines.len());
        assert_eq!(text(&"x".repeat(5_000)), None);
    }
}
