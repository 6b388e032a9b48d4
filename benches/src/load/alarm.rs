//! A clock that rings on time: tokio's own rings at the next millisecond or the one after it, which would count as latency.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Rings once for each [`Alarm::after`].
pub(crate) struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    pub(crate) fn new() -> Self {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC);
        #[expect(deprecated, reason = "the timer is a descriptor of its own; what replaces this is unsafe")]
        let registered = AsyncFd::new(timer.expect("a timer"));
        Self(registered.expect("a runtime with I/O"))
    }

    /// Waits this long. Dropped, it is as if it had not been asked for.
    pub(crate) async fn after(&self, wait: Duration) {
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        let wait = wait.max(Duration::from_nanos(1));
        let value = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        let once = Itimerspec { it_interval: none, it_value: value };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once).expect("a timer");
        loop {
            let mut ready = self.0.readable().await.expect("a timer");
            let rang = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?));
            if rang.is_ok_and(|read: io::Result<usize>| read.is_ok()) {
                return;
            }
        }
    }
}
