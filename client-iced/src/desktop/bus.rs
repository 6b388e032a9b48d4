//! The session bus: notifications go out, and the tray asks for the sign. Every answer has a deadline.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use iced::futures::StreamExt as _;
use iced::futures::stream::BoxStream;
use tokio::sync::{mpsc, watch};
use zbus::zvariant::Value;

use super::instance::{Instance, PATH};
use super::item::{self, Item};
use super::menu::{self, Menu};
use super::notice::escaped;
use super::{News, Notice, Order, Reach, Sign, picture};

/// Longest wait for an answer of somebody on the bus.
const ANSWER: Duration = Duration::from_secs(5);
/// Notifications whose number is kept, to replace or withdraw them.
const SHOWN_MAX: usize = 64;
/// Name of the desktop entry, for those who look up its icon.
const ENTRY: &str = "endtoend-desktop";
/// What pressing a notification is called.
const DEFAULT: &str = "default";

#[zbus::proxy(
    interface = "org.freedesktop.Notifications",
    default_service = "org.freedesktop.Notifications",
    default_path = "/org/freedesktop/Notifications",
    gen_blocking = false
)]
trait Notifications {
    #[expect(clippy::too_many_arguments, reason = "as the Desktop Notifications Specification has it")]
    fn notify(
        &self,
        app_name: &str,
        replaces_id: u32,
        app_icon: &str,
        summary: &str,
        body: &str,
        actions: &[&str],
        hints: HashMap<&str, Value<'_>>,
        expire_timeout: i32,
    ) -> zbus::Result<u32>;
    fn close_notification(&self, id: u32) -> zbus::Result<()>;
    fn get_capabilities(&self) -> zbus::Result<Vec<String>>;
    #[zbus(signal)]
    fn action_invoked(&self, id: u32, action_key: String) -> zbus::Result<()>;
    #[zbus(signal)]
    fn notification_closed(&self, id: u32, reason: u32) -> zbus::Result<()>;
}

#[zbus::proxy(
    interface = "org.kde.StatusNotifierWatcher",
    default_service = "org.kde.StatusNotifierWatcher",
    default_path = "/StatusNotifierWatcher",
    gen_blocking = false
)]
trait Watcher {
    fn register_status_notifier_item(&self, service: &str) -> zbus::Result<()>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn is_status_notifier_host_registered(&self) -> zbus::Result<bool>;
    #[zbus(signal)]
    fn status_notifier_host_registered(&self) -> zbus::Result<()>;
    #[zbus(signal)]
    fn status_notifier_host_unregistered(&self) -> zbus::Result<()>;
}

/// What happens on the bus.
enum Heard {
    /// A notification was pressed.
    Pressed(u32),
    /// A notification is gone.
    Closed(u32),
    /// Who keeps the trays has come, gone, or has other trays.
    Trays,
}

/// Until nobody gives orders any more.
pub(super) async fn run(reach: Reach, profile: String, mut orders: mpsc::Receiver<Order>, news: mpsc::Sender<News>) {
    let (sign, signed) = watch::channel(Sign::default());
    let connected = connect(reach, profile, &signed, &news).await;
    let connected = match connected {
        Ok(connection) => Connected::new(connection, news).await,
        Err(error) => Err(error),
    };
    let Ok((mut connected, mut heard)) = connected else {
        // Without a bus there is nobody to tell.
        while orders.recv().await.is_some() {}
        return;
    };
    connected.look_for_trays().await;
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                None => return,
                Some(Order::Sign(next)) => {
                    sign.send_replace(next);
                    connected.sign_changed().await;
                }
                Some(Order::Notify(notice)) => connected.notify(notice).await,
                Some(Order::Withdraw(key)) => connected.withdraw(&key).await,
            },
            happened = heard.next() => match happened {
                None => {
                    // The bus is gone, and the tray with it.
                    let _closed = connected.news.send(News::Tray(false)).await;
                    while orders.recv().await.is_some() {}
                    return;
                }
                Some(Heard::Pressed(id)) => connected.pressed(id).await,
                Some(Heard::Closed(id)) => connected.shown.retain(|_, shown| *shown != id),
                Some(Heard::Trays) => connected.look_for_trays().await,
            },
        }
    }
}

async fn connect(
    reach: Reach,
    profile: String,
    sign: &watch::Receiver<Sign>,
    news: &mpsc::Sender<News>,
) -> zbus::Result<zbus::Connection> {
    let builder = match reach {
        Reach::Session => zbus::connection::Builder::session()?,
        Reach::Address(address) => zbus::connection::Builder::address(address.as_str())?,
    };
    let connection = builder
        .method_timeout(ANSWER)
        .serve_at(item::PATH, Item::new(sign.clone(), news.clone()))?
        .serve_at(menu::PATH, Menu::new(sign.clone(), news.clone()))?
        .serve_at(PATH, Instance::new(news.clone()))?
        .build()
        .await?;
    // Two windows on one profile there are not: whoever has the name already is told so by the profile's lock.
    let _taken = connection.request_name_with_flags(profile, zbus::fdo::RequestNameFlags::DoNotQueue.into()).await;
    Ok(connection)
}

struct Connected {
    connection: zbus::Connection,
    notifications: NotificationsProxy<'static>,
    watcher: WatcherProxy<'static>,
    news: mpsc::Sender<News>,
    /// Number of what is shown under a key.
    shown: BTreeMap<String, u32>,
    /// Whether a tray was said to be there.
    tray: bool,
    /// Counts what the menu was.
    revision: u32,
}

impl Connected {
    async fn new(
        connection: zbus::Connection,
        news: mpsc::Sender<News>,
    ) -> zbus::Result<(Self, BoxStream<'static, Heard>)> {
        let notifications = NotificationsProxy::new(&connection).await?;
        let watcher = WatcherProxy::new(&connection).await?;
        let pressed = notifications.receive_action_invoked().await?.filter_map(|signal| async move {
            let args = signal.args().ok()?;
            (args.action_key == DEFAULT).then_some(Heard::Pressed(args.id))
        });
        let closed = notifications
            .receive_notification_closed()
            .await?
            .filter_map(|signal| async move { signal.args().ok().map(|args| Heard::Closed(args.id)) });
        let come = watcher.receive_status_notifier_host_registered().await?.map(|_| Heard::Trays);
        let gone = watcher.receive_status_notifier_host_unregistered().await?.map(|_| Heard::Trays);
        let owner = watcher.inner().receive_owner_changed().await?.map(|_| Heard::Trays);
        let all: Vec<BoxStream<'static, Heard>> =
            vec![pressed.boxed(), closed.boxed(), come.boxed(), gone.boxed(), owner.boxed()];
        let heard = iced::futures::stream::select_all(all).boxed();
        let connected =
            Self { connection, notifications, watcher, news, shown: BTreeMap::new(), tray: false, revision: 1 };
        Ok((connected, heard))
    }

    /// A tray is there when somebody keeps trays, takes the sign, and has one to show it in.
    async fn look_for_trays(&mut self) {
        let registered = match self.connection.unique_name() {
            Some(name) => self.watcher.register_status_notifier_item(name.as_str()).await.is_ok(),
            None => false,
        };
        let tray = registered && self.watcher.is_status_notifier_host_registered().await.unwrap_or(false);
        if tray != self.tray {
            self.tray = tray;
            let _closed = self.news.send(News::Tray(tray)).await;
        }
    }

    async fn notify(&mut self, notice: Notice) {
        let markup =
            self.notifications.get_capabilities().await.is_ok_and(|all| all.iter().any(|it| it == "body-markup"));
        let body = if markup { escaped(&notice.body) } else { notice.body };
        let replaces = self.shown.get(&notice.key).copied().unwrap_or_default();
        let mut hints = HashMap::new();
        hints.insert("desktop-entry", Value::from(ENTRY));
        hints.insert("category", Value::from("im.received"));
        // Nothing of it is to be kept in a history of notifications on the disk.
        hints.insert("transient", Value::from(true));
        let label = [DEFAULT, ""];
        let told =
            self.notifications.notify("Endtoend", replaces, ENTRY, &notice.title, &body, &label, hints, -1).await;
        if let Ok(id) = told
            && (self.shown.len() < SHOWN_MAX || self.shown.contains_key(&notice.key))
        {
            self.shown.insert(notice.key, id);
        }
    }

    async fn withdraw(&mut self, key: &str) {
        if let Some(id) = self.shown.remove(key) {
            // It may have gone by itself.
            let _gone = self.notifications.close_notification(id).await;
        }
    }

    async fn pressed(&mut self, id: u32) {
        // Signals come for the notifications of all programs.
        let key = self.shown.iter().find(|(_, shown)| **shown == id).map(|(key, _)| key.clone());
        if let Some(key) = key {
            self.shown.remove(&key);
            let _closed = self.news.send(News::Pressed(key)).await;
        }
    }

    /// Whoever shows the sign is to look again.
    async fn sign_changed(&mut self) {
        self.revision = self.revision.wrapping_add(1);
        let server = self.connection.object_server();
        if let Ok(item) = server.interface::<_, Item>(item::PATH).await {
            let _unheard = Item::new_icon(item.signal_emitter()).await;
            let _unheard = Item::new_tool_tip(item.signal_emitter()).await;
        }
        if let Ok(menu) = server.interface::<_, Menu>(menu::PATH).await {
            menu.get_mut().await.revision = self.revision;
            let _unheard = Menu::layout_updated(menu.signal_emitter(), self.revision, 0).await;
        }
    }
}

/// A picture as trays take it: width, height, and pixels of opacity, red, green, blue.
pub(super) fn pixmap(unread: u64) -> Vec<(i32, i32, Vec<u8>)> {
    let picture = picture::sign(unread);
    let side = i32::try_from(picture.side).unwrap_or_default();
    let argb = picture.rgba.chunks_exact(4).flat_map(|pixel| match pixel {
        [r, g, b, a] => [*a, *r, *g, *b],
        _ => [0; 4],
    });
    vec![(side, side, argb.collect())]
}
