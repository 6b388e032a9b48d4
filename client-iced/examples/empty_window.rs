//! A window with nothing in it, by the same library and with the same fonts: what the program is compared with.
//!
//! It says on standard error when the first frame was drawn, like `endtoend-desktop --timings`.

use endtoend_client::clock;
use endtoend_client::clock::Instant;
use endtoend_client_iced::theme::{FONTS, REGULAR};
use iced::{Element, Subscription, window};

struct Empty {
    started: Instant,
    drawn: bool,
}

fn update(empty: &mut Empty, (): ()) {
    if !std::mem::replace(&mut empty.drawn, true) {
        let after = clock::monotonic().saturating_duration_since(empty.started).as_millis();
        eprintln!("timings: first frame after {after} ms");
    }
}

fn view(_: &Empty) -> Element<'_, ()> {
    iced::widget::space().into()
}

fn main() -> iced::Result {
    let started = clock::monotonic();
    let mut application = iced::application(move || Empty { started, drawn: false }, update, view)
        .subscription(|_| -> Subscription<()> { window::frames().map(|_| ()) })
        .default_font(REGULAR)
        .window_size((1_080.0, 740.0));
    for font in FONTS {
        application = application.font(font);
    }
    application.run()
}
