//! What another node has ended is looked up in the store before it is ended here.
//!
//! News may come late, over another link than the one on which they were told first, and a device may have logged in anew
//! meanwhile: nobody who may go on is told that he may not. So news say where to look, and the store says who may go on.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use endtoend_cluster::link::wire::News;
use endtoend_storage::StoreError;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::Services;
use crate::sessions::Entered;

/// News that wait to be looked up: a tenth of a megabyte. Beyond, everybody who is here is looked up instead.
const WAITING_MAX: usize = 1_024;
/// When the store does not answer, it is asked again after this time.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Who is to be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    Everybody,
    Of(News),
}

/// Those that wait.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    waiting: Mutex<Waiting>,
    come: Notify,
}

/// The rules.
#[derive(Debug, Default)]
struct Waiting {
    news: VecDeque<News>,
    everybody: bool,
}

impl Waiting {
    fn put(&mut self, doubt: Doubt) {
        match doubt {
            Doubt::Of(news) if !self.everybody && self.news.len() < WAITING_MAX => self.news.push_back(news),
            // Who looks at everybody from now on sees these, too.
            Doubt::Of(_) | Doubt::Everybody => {
                self.everybody = true;
                self.news.clear();
            }
        }
    }

    fn take(&mut self) -> Option<Doubt> {
        if std::mem::take(&mut self.everybody) {
            return Some(Doubt::Everybody);
        }
        self.news.pop_front().map(Doubt::Of)
    }
}

impl Doubts {
    // A panic while the lock was held cannot have left anything in between: every change is one call.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, doubt: Doubt) {
        self.waiting().put(doubt);
        self.come.notify_one();
    }

    pub(super) fn of(&self, news: News) {
        self.put(Doubt::Of(news));
    }

    pub(super) fn of_everybody(&self) {
        self.put(Doubt::Everybody);
    }

    async fn next(&self) -> Doubt {
        loop {
            let doubt = self.waiting().take();
            match doubt {
                Some(doubt) => return doubt,
                None => self.come.notified().await,
            }
        }
    }
}

impl Services {
    /// Looks up whoever another node has ended. For as long as the node runs.
    pub(crate) async fn settle_doubts(&self) {
        loop {
            match self.doubts.next().await {
                Doubt::Of(news) => self.settle(self.sessions.concerned(news)).await,
                Doubt::Everybody => {
                    tracing::info!("another node has ended more than it tells: all logins here are looked up");
                    self.settle(self.sessions.everybody()).await;
                    self.tell_lists().await;
                }
            }
        }
    }

    async fn settle(&self, entered: Vec<Entered>) {
        for one in entered {
            if !self.until_answered(async || self.may_go_on(one).await).await {
                self.sessions.end_one(one);
            }
        }
    }

    /// Every account that is here hears of its list of devices.
    async fn tell_lists(&self) {
        for account in self.sessions.accounts() {
            let (_, version) = self.until_answered(async || self.store.devices(account).await).await;
            self.sessions.say_devices_changed(account, version);
        }
    }

    async fn may_go_on(&self, Entered { device, family, .. }: Entered) -> Result<bool, StoreError> {
        if self.store.device(device).await?.is_none_or(|known| known.disabled) {
            return Ok(false);
        }
        Ok(self.store.family(family).await?.is_some_and(|family| family.device == device))
    }

    async fn until_answered<T>(&self, ask: impl AsyncFn() -> Result<T, StoreError>) -> T {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(error) => tracing::debug!(%error, "the store does not say who may go on"),
            }
            sleep(AGAIN_AFTER).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use endtoend_protocol::AccountTag;

    use super::*;

    fn news(n: u8) -> News {
        News::AccountRevoked { account: AccountTag::new([n; 32]), except: None }
    }

    #[test]
    fn news_are_looked_up_in_their_order_and_too_many_at_once_are_all() {
        let mut waiting = Waiting::default();
        waiting.put(Doubt::Of(news(1)));
        waiting.put(Doubt::Of(news(2)));
        assert_eq!(
            [waiting.take(), waiting.take(), waiting.take()],
            [Some(Doubt::Of(news(1))), Some(Doubt::Of(news(2))), None]
        );
        for _ in 0..=WAITING_MAX {
            waiting.put(Doubt::Of(news(3)));
            assert!(waiting.news.len() <= WAITING_MAX);
        }
        waiting.put(Doubt::Of(news(4)));
        assert_eq!([waiting.take(), waiting.take()], [Some(Doubt::Everybody), None], "one look at everybody is enough");
        waiting.put(Doubt::Of(news(5)));
        assert_eq!(waiting.take(), Some(Doubt::Of(news(5))));
    }
}
