//! Notifications and the tray on a real session bus, with stand-ins that note what they are told.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "test code: a failed step fails the test")]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use endtoend_client_iced::desktop::{Desktop, News, Notice, Order, Reach, Sign, instance};
use endtoend_testkit::PATIENCE;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;
use zbus::object_server::SignalEmitter;
use zbus::zvariant::{OwnedValue, Value};

/// A bus of its own, which starts nothing and knows nobody.
struct Bus {
    daemon: Child,
    address: String,
    _folder: TempDir,
}

impl Bus {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("bus.conf");
        let listen = folder.path().join("bus");
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
             <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
            listen.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut daemon = Command::new("dbus-daemon")
            .args(["--nofork", "--print-address=1", "--config-file"])
            .arg(&config)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { daemon, address: address.trim().to_owned(), _folder: folder }
    }

    fn reach(&self) -> Reach {
        Reach::Address(self.address.clone())
    }

    fn program(&self) -> (Desktop, mpsc::Receiver<News>) {
        Desktop::start(self.reach(), instance::name(Path::new("/profile"))).unwrap()
    }

    fn builder(&self) -> zbus::connection::Builder<'_> {
        zbus::connection::Builder::address(self.address.as_str()).unwrap()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _gone = self.daemon.kill();
        let _gone = self.daemon.wait();
    }
}

/// What a service of notifications was told.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Notify { replaces: u32, title: String, body: String, transient: bool },
    Close(u32),
}

struct Shows {
    told: mpsc::UnboundedSender<Told>,
    last: u32,
}

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Shows {
    #[expect(clippy::too_many_arguments, reason = "as the Desktop Notifications Specification has it")]
    fn notify(
        &mut self,
        _app_name: &str,
        replaces: u32,
        _app_icon: &str,
        title: String,
        body: String,
        _actions: Vec<String>,
        hints: HashMap<String, OwnedValue>,
        _expire: i32,
    ) -> u32 {
        let transient =
            hints.into_iter().any(|(name, it)| name == "transient" && bool::try_from(it).unwrap_or_default());
        self.told.send(Told::Notify { replaces, title, body, transient }).unwrap();
        if replaces != 0 {
            return replaces;
        }
        self.last += 1;
        self.last
    }

    fn close_notification(&self, id: u32) {
        self.told.send(Told::Close(id)).unwrap();
    }

    fn get_capabilities(&self) -> Vec<&str> {
        vec!["body", "body-markup", "actions"]
    }

    #[zbus(signal)]
    async fn action_invoked(emitter: &SignalEmitter<'_>, id: u32, key: &str) -> zbus::Result<()>;
}

/// Of a menu: its number, what it is like, and the lines below it.
type Line = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

/// Keeps a tray, or several.
struct Keeper(Arc<Mutex<Vec<String>>>);

#[zbus::interface(name = "org.kde.StatusNotifierWatcher")]
impl Keeper {
    fn register_status_notifier_item(&self, service: String) {
        self.0.lock().unwrap().push(service);
    }

    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        true
    }
}

async fn next<T>(told: &mut mpsc::Receiver<T>) -> T {
    timeout(PATIENCE, told.recv()).await.unwrap().unwrap()
}

async fn told(all: &mut mpsc::UnboundedReceiver<Told>) -> Told {
    timeout(PATIENCE, all.recv()).await.unwrap().unwrap()
}

fn notice(key: &str, body: &str) -> Order {
    Order::Notify(Notice { key: key.to_owned(), title: key.to_owned(), body: body.to_owned() })
}

#[tokio::test]
async fn a_notification_is_shown_replaced_pressed_and_withdrawn() {
    let bus = Bus::start();
    let (sender, mut all) = mpsc::unbounded_channel();
    let path = "/org/freedesktop/Notifications";
    let service = bus.builder().serve_at(path, Shows { told: sender, last: 0 }).unwrap();
    let service = service.name("org.freedesktop.Notifications").unwrap().build().await.unwrap();
    let (desktop, mut news) = bus.program();

    let shown = |replaces, title: &str, body: &str| Told::Notify {
        replaces,
        title: title.to_owned(),
        body: body.to_owned(),
        // Nothing of it is to lie in somebody's history.
        transient: true,
    };
    desktop.tell(notice("bob", "1 < 2 & <b>so on</b>"));
    assert_eq!(told(&mut all).await, shown(0, "bob", "1 &lt; 2 &amp; &lt;b&gt;so on&lt;/b&gt;"));
    desktop.tell(notice("bob", "more"));
    assert_eq!(told(&mut all).await, shown(1, "bob", "more"));
    desktop.tell(notice("carol", "hello"));
    assert_eq!(told(&mut all).await, shown(0, "carol", "hello"));
    desktop.tell(Order::Withdraw("carol".to_owned()));
    assert_eq!(told(&mut all).await, Told::Close(2));

    // Somebody else's notification is none of ours.
    let emitter = SignalEmitter::new(&service, path).unwrap();
    Shows::action_invoked(&emitter, 99, "default").await.unwrap();
    Shows::action_invoked(&emitter, 1, "default").await.unwrap();
    assert_eq!(next(&mut news).await, News::Pressed("bob".to_owned()));
    desktop.tell(notice("bob", "again"));
    assert_eq!(told(&mut all).await, shown(0, "bob", "again"));
}

#[tokio::test]
async fn a_tray_shows_how_many_are_unread_and_its_menu_works() {
    let bus = Bus::start();
    let (desktop, mut news) = bus.program();
    let sign = |unread, words: &str| {
        let menu = ["Open", "Lock", "Quit"].map(str::to_owned);
        Order::Sign(Sign { unread, words: words.to_owned(), menu })
    };
    desktop.tell(sign(0, "Nothing new"));

    // Somebody keeps a tray only now.
    let items = Arc::new(Mutex::new(Vec::new()));
    let keeper = bus.builder().serve_at("/StatusNotifierWatcher", Keeper(Arc::clone(&items))).unwrap();
    let keeper = keeper.name("org.kde.StatusNotifierWatcher").unwrap().build().await.unwrap();
    assert_eq!(next(&mut news).await, News::Tray(true));
    let item = items.lock().unwrap().first().cloned().unwrap();

    let ask = async |interface: &'static str, path: &'static str| {
        let proxy = zbus::proxy::Builder::<zbus::Proxy<'static>>::new(&keeper).destination(item.clone()).unwrap();
        let proxy = proxy.path(path).unwrap().interface(interface).unwrap();
        // Trays look again when they are told to.
        proxy.cache_properties(zbus::proxy::CacheProperties::No).build().await
    };
    let shown = ask("org.kde.StatusNotifierItem", "/StatusNotifierItem").await.unwrap();
    let pixmap = || async { shown.get_property::<Vec<(i32, i32, Vec<u8>)>>("IconPixmap").await.unwrap() };
    let tip = || async {
        shown.get_property::<(String, Vec<(i32, i32, Vec<u8>)>, String, String)>("ToolTip").await.unwrap().3
    };
    let plain = pixmap().await;
    assert_eq!(
        plain.iter().map(|(width, height, argb)| (*width, *height, argb.len())).collect::<Vec<_>>(),
        [(64, 64, 16_384)]
    );
    let mut changes = shown.receive_signal("NewIcon").await.unwrap();
    desktop.tell(sign(7, "7 new messages"));
    // The first may be of the sign before.
    while tip().await != "7 new messages" {
        assert!(timeout(PATIENCE, iced::futures::StreamExt::next(&mut changes)).await.unwrap().is_some());
    }
    assert_ne!(pixmap().await, plain);

    shown.call_method("Activate", &(0, 0)).await.unwrap();
    assert_eq!(next(&mut news).await, News::Show);
    let menu = ask("com.canonical.dbusmenu", "/MenuBar").await.unwrap();
    let layout: (u32, Line) = menu.call("GetLayout", &(0, -1, Vec::<String>::new())).await.unwrap();
    assert_eq!(layout.1.2.len(), 4);
    let lines = format!("{:?}", layout.1.2);
    assert!(["Open", "Lock", "separator", "Quit"].iter().all(|words| lines.contains(words)), "{lines}");
    for (id, expected) in [(1, News::Show), (2, News::Lock), (4, News::Quit)] {
        menu.call_method("Event", &(id, "clicked", Value::from(0), 0_u32)).await.unwrap();
        assert_eq!(next(&mut news).await, expected);
    }

    // Without a tray a window must not stay closed.
    drop((shown, menu, changes));
    keeper.close().await.unwrap();
    assert_eq!(next(&mut news).await, News::Tray(false));
}

#[tokio::test]
async fn a_second_start_shows_the_window_that_is_there() {
    let bus = Bus::start();
    let (_desktop, mut news) = bus.program();
    let wake = |home: &'static str| {
        let reach = bus.reach();
        tokio::task::spawn_blocking(move || instance::wake(&reach, &instance::name(Path::new(home))))
    };
    assert!(!wake("/another/profile").await.unwrap());
    // The name is there a moment after the start.
    loop {
        if wake("/profile").await.unwrap() {
            break;
        }
    }
    assert_eq!(next(&mut news).await, News::Show);
}

#[tokio::test]
async fn without_a_bus_the_program_works_and_has_no_tray() {
    let nowhere = Reach::Address("unix:path=/nowhere/at/all".to_owned());
    let (desktop, mut news) = Desktop::start(nowhere.clone(), "org.endtoend.Desktop.p1".to_owned()).unwrap();
    for _ in 0..1_000 {
        desktop.tell(notice("bob", "hello"));
    }
    drop(desktop);
    // It ends, and has told nothing.
    assert_eq!(timeout(PATIENCE, news.recv()).await.unwrap(), None);
    let asked = tokio::task::spawn_blocking(move || instance::wake(&nowhere, "org.endtoend.Desktop.p1")).await;
    assert!(!asked.unwrap());
}
