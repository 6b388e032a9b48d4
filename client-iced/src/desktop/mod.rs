//! What the program has on the desktop beside its window: notifications, and a sign in the tray.
//!
//! | file | what it is |
//! |---|---|
//! | `mod.rs` | the outside: start it, tell it |
//! | [`notice`] | rules: what a notification says |
//! | [`beside`] | rules: what the desktop is told, and when |
//! | `picture.rs` | the sign in the tray, with a number on it |
//! | `bus.rs` | the session bus: one thread, on which everything waits that the window must not wait for |
//! | `item.rs`, `menu.rs` | what a tray asks for there |
//! | `instance.rs` | a second start shows the window that is there |
//!
//! Where there is no session bus, or nobody there who shows such things, the program works without.

pub mod beside;
#[cfg(target_os = "linux")]
mod bus;
#[cfg(target_os = "linux")]
pub mod instance;
#[cfg(target_os = "linux")]
mod item;
#[cfg(target_os = "linux")]
mod menu;
pub mod notice;
mod picture;
#[cfg(test)]
mod tests;

use tokio::sync::mpsc;

pub use notice::Notice;
pub(crate) use picture::icon;

/// Orders that wait. With more, the desktop does not answer, and some are not told.
const ORDERS_MAX: usize = 64;
/// News that wait for the window.
const NEWS_MAX: usize = 64;

/// What stands in the tray.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sign {
    /// Messages that nobody has seen.
    pub unread: u64,
    /// What is said when one points at it.
    pub words: String,
    /// Of its menu: show the window, lock the profile, end the program.
    pub menu: [String; 3],
}

/// What the window asks of the desktop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Show this; whatever is shown under the same key goes.
    Notify(Notice),
    /// What is shown under this key is of no use any more.
    Withdraw(String),
    /// In the tray from now on.
    Sign(Sign),
}

/// What the desktop tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Whether somebody shows the sign. Before this is told, nobody does.
    Tray(bool),
    /// A person wants the window.
    Show,
    /// A person has pressed the notification with this key.
    Pressed(String),
    /// A person wants the profile locked.
    Lock,
    /// A person wants the program to end.
    Quit,
}

/// Where the desktop is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// As the session says.
    Session,
    /// At this address of a bus.
    Address(String),
}

/// To whom orders are given. Dropping it ends the thread.
#[derive(Debug)]
pub struct Desktop {
    orders: mpsc::Sender<Order>,
}

impl Desktop {
    /// Starts the thread. What it tells comes out of the receiver. `profile` is what this program's instance is known by: see
    /// [`instance::name`].
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub fn start(reach: Reach, profile: String) -> std::io::Result<(Self, mpsc::Receiver<News>)> {
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let (news, told) = mpsc::channel(NEWS_MAX);
        run(reach, profile, inbox, news)?;
        Ok((Self { orders }, told))
    }

    /// Gives an order and does not wait. A desktop that does not answer misses some.
    pub fn tell(&self, order: Order) {
        let _missed = self.orders.try_send(order);
    }
}

#[cfg(target_os = "linux")]
fn run(reach: Reach, profile: String, orders: mpsc::Receiver<Order>, news: mpsc::Sender<News>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("endtoend-desktop".to_owned())
        .spawn(move || runtime.block_on(bus::run(reach, profile, orders, news)))?;
    Ok(())
}

/// Elsewhere there is no tray and no notification yet: whoever tells something talks to nobody.
#[cfg(not(target_os = "linux"))]
fn run(_: Reach, _: String, _: mpsc::Receiver<Order>, _: mpsc::Sender<News>) -> std::io::Result<()> {
    Ok(())
}
