//! The sign in the tray, as org.kde.StatusNotifierItem.

use tokio::sync::{mpsc, watch};
use zbus::object_server::SignalEmitter;
use zbus::zvariant::ObjectPath;

use super::bus::pixmap;
use super::{News, Sign, menu};

/// Where trays look for it.
pub(super) const PATH: &str = "/StatusNotifierItem";

type Pixmaps = Vec<(i32, i32, Vec<u8>)>;

/// What a tray asks for.
pub(super) struct Item {
    sign: watch::Receiver<Sign>,
    news: mpsc::Sender<News>,
}

impl Item {
    pub(super) fn new(sign: watch::Receiver<Sign>, news: mpsc::Sender<News>) -> Self {
        Self { sign, news }
    }
}

#[zbus::interface(name = "org.kde.StatusNotifierItem")]
impl Item {
    #[zbus(property)]
    fn category(&self) -> &str {
        "Communications"
    }

    #[zbus(property)]
    fn id(&self) -> &str {
        "endtoend-desktop"
    }

    #[zbus(property)]
    fn title(&self) -> &str {
        "Endtoend"
    }

    #[zbus(property)]
    fn status(&self) -> &str {
        "Active"
    }

    #[zbus(property)]
    fn window_id(&self) -> i32 {
        0
    }

    /// None: the picture has the number on it.
    #[zbus(property)]
    fn icon_name(&self) -> &str {
        ""
    }

    #[zbus(property)]
    fn icon_pixmap(&self) -> Pixmaps {
        pixmap(self.sign.borrow().unread)
    }

    #[zbus(property)]
    fn tool_tip(&self) -> (String, Pixmaps, String, String) {
        (String::new(), Vec::new(), "Endtoend".to_owned(), self.sign.borrow().words.clone())
    }

    #[zbus(property)]
    fn item_is_menu(&self) -> bool {
        false
    }

    #[zbus(property)]
    fn menu(&self) -> ObjectPath<'static> {
        ObjectPath::from_static_str_unchecked(menu::PATH)
    }

    async fn activate(&self, _x: i32, _y: i32) {
        let _closed = self.news.send(News::Show).await;
    }

    async fn secondary_activate(&self, _x: i32, _y: i32) {
        let _closed = self.news.send(News::Show).await;
    }

    #[zbus(signal)]
    pub(super) async fn new_icon(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn new_tool_tip(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;
}
