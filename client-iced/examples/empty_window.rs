//! A window with nothing in it, by the same library and with the same fonts: what the program is compared with.
//!
//! It says on standard error when the first frame was drawn, like `endtoend-desktop --timings`.

use endtoend_client_iced::theme::{REGULAR, fonts};
use endtoend_client_iced::timings::Timings;
use iced::Element;

fn view(timings: &Timings) -> Element<'_, ()> {
    timings.notice(iced::widget::space().into())
}

fn main() -> iced::Result {
    let timings = Timings::default();
    fonts::install();
    iced::application(move || timings.clone(), |_: &mut Timings, (): ()| {}, view)
        .default_font(REGULAR)
        .window_size((1_080.0, 740.0))
        .run()
}
