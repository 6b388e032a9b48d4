//! What another node has ended is looked up in the store before it is ended here.
//!
//! News may come late, over another link than the one on which they were told first, and a device may have logged in anew
//! meanwhile: nobody who may go on is told that he may not. So news say where to look, and the store says who may go on.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use endtoend_cluster::link::wire::News;
use endtoend_protocol::AccountTag;
use endtoend_storage::{Store, StoreError};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::Services;
use crate::sessions::{Entered, Sessions};

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
    /// Logins that are being looked up one after the other.
    in_hand: usize,
}

impl Waiting {
    fn put(&mut self, doubt: Doubt) {
        match doubt {
            Doubt::Of(news) if self.news.len() < WAITING_MAX => self.news.push_back(news),
            // Who looks at everybody from now on sees these, too.
            Doubt::Of(_) | Doubt::Everybody => self.everybody = true,
        }
    }

    fn len(&self) -> usize {
        self.news.len() + usize::from(self.everybody) + self.in_hand
    }

    /// News first: somebody has said of whom they are, and a look at everybody takes its time.
    fn take(&mut self) -> Option<Doubt> {
        self.news.pop_front().map(Doubt::Of).or_else(|| std::mem::take(&mut self.everybody).then_some(Doubt::Everybody))
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

/// Who may go on, by the store.
pub(super) trait Judge {
    /// Whether a login that was let in may stay.
    async fn may_go_on(&self, one: Entered) -> Result<bool, StoreError>;
    /// The version of an account's list of devices.
    async fn list_of(&self, account: AccountTag) -> Result<u32, StoreError>;
}

impl Judge for dyn Store {
    async fn may_go_on(&self, Entered { device, family, .. }: Entered) -> Result<bool, StoreError> {
        if self.device(device).await?.is_none_or(|known| known.disabled) {
            return Ok(false);
        }
        Ok(self.family(family).await?.is_some_and(|family| family.device == device))
    }

    async fn list_of(&self, account: AccountTag) -> Result<u32, StoreError> {
        Ok(self.devices(account).await?.1)
    }
}

impl Services {
    /// Looks up whoever another node has ended. For as long as the node runs.
    pub(crate) async fn settle_doubts(&self) {
        self.doubts.settle_all(&self.sessions, &*self.store).await;
    }

    /// News of other nodes, and logins, that wait to be looked up.
    pub(crate) fn doubts_waiting(&self) -> usize {
        self.doubts.waiting().len()
    }
}

impl Doubts {
    async fn settle_all(&self, sessions: &Sessions, judge: &(impl Judge + ?Sized)) {
        loop {
            match self.next().await {
                Doubt::Of(news) => self.settle(sessions, judge, sessions.concerned(news)).await,
                Doubt::Everybody => {
                    tracing::info!(
                        "another node has begun anew, or ended more than it tells: all logins here are looked up"
                    );
                    self.settle_everybody(sessions, judge).await;
                }
            }
        }
    }

    /// All logins, and every account hears of its list of devices. News that come meanwhile do not wait for the end of it.
    async fn settle_everybody(&self, sessions: &Sessions, judge: &(impl Judge + ?Sized)) {
        let everybody = sessions.everybody();
        let mut left = everybody.len();
        for one in everybody {
            self.settle_news(sessions, judge, left).await;
            self.settle(sessions, judge, vec![one]).await;
            left -= 1;
        }
        for account in sessions.accounts() {
            self.settle_news(sessions, judge, left).await;
            match until_answered(async || judge.list_of(account).await).await {
                Ok(version) => sessions.say_devices_changed(account, version),
                Err(error) => tracing::error!(%error, "a list of devices cannot be looked up"),
            }
        }
    }

    /// Those that have come while so many logins are left of everybody.
    async fn settle_news(&self, sessions: &Sessions, judge: &(impl Judge + ?Sized), left: usize) {
        loop {
            let news = {
                let mut waiting = self.waiting();
                waiting.in_hand = left;
                waiting.news.pop_front()
            };
            let Some(news) = news else { return };
            self.settle(sessions, judge, sessions.concerned(news)).await;
        }
    }

    async fn settle(&self, sessions: &Sessions, judge: &(impl Judge + ?Sized), entered: Vec<Entered>) {
        self.waiting().in_hand += entered.len();
        for one in entered {
            let stays = until_answered(async || judge.may_go_on(one).await).await.unwrap_or_else(|error| {
                // Nobody will be able to say that it may go on, and the next one is not to wait for that.
                tracing::error!(%error, "a login that cannot be looked up ends");
                false
            });
            if !stays {
                sessions.end_one(one);
            }
            let mut waiting = self.waiting();
            waiting.in_hand = waiting.in_hand.saturating_sub(1);
        }
    }
}

/// What the store says, which is asked for as long as it does not answer.
///
/// # Errors
/// What asking again does not mend.
async fn until_answered<T>(ask: impl AsyncFn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    loop {
        match ask().await {
            Err(error @ StoreError::Unavailable(_)) => {
                tracing::debug!(%error, "the store does not say who may go on");
            }
            said => return said,
        }
        sleep(AGAIN_AFTER).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use actix::{Actor, Context, Handler};
    use endtoend_protocol::{Address, DeviceId};
    use endtoend_storage::FamilyId;
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;
    use crate::limits::Origin;
    use crate::sessions::Notice;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Which connection was told what.
    type Told = (u8, Notice);

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
        waiting.put(Doubt::Everybody);
        for _ in 0..WAITING_MAX {
            assert_eq!(waiting.take(), Some(Doubt::Of(news(3))), "who is named does not wait for a look at everybody");
        }
        assert_eq!([waiting.take(), waiting.take()], [Some(Doubt::Everybody), None], "one look at everybody is enough");
    }

    /// What the store will answer for each login in turn; everybody else may stay.
    #[derive(Default)]
    struct Answers(Mutex<HashMap<Address, VecDeque<Result<bool, StoreError>>>>);

    impl Judge for Answers {
        async fn may_go_on(&self, one: Entered) -> Result<bool, StoreError> {
            let mut answers = self.0.lock().unwrap();
            answers.get_mut(&one.device).and_then(VecDeque::pop_front).unwrap_or(Ok(true))
        }
        async fn list_of(&self, account: AccountTag) -> Result<u32, StoreError> {
            if account == tag(3) { Err(StoreError::Damaged { what: "device" }) } else { Ok(7) }
        }
    }

    struct Connection(u8, mpsc::UnboundedSender<Told>);
    impl Actor for Connection {
        type Context = Context<Self>;
    }
    impl Handler<Notice> for Connection {
        type Result = ();
        fn handle(&mut self, notice: Notice, _: &mut Self::Context) {
            self.1.send((self.0, notice)).unwrap();
        }
    }

    fn tag(n: u8) -> AccountTag {
        AccountTag::new([n; 32])
    }

    fn address(n: u8) -> Address {
        Address { account: tag(n), device: DeviceId::FIRST }
    }

    /// Logins of four accounts, of which the first is gone, once the store answers, and what is kept of the second is damaged.
    fn four() -> (Arc<Doubts>, Answers, Arc<Sessions>, mpsc::UnboundedReceiver<Told>) {
        let (sender, told) = mpsc::unbounded_channel();
        let sessions = Arc::new(Sessions::default());
        for n in 1..=4 {
            let notice = Connection(n, sender.clone()).start().recipient();
            sessions.enter(address(n), FamilyId([n; 16]), Origin::of(None), notice);
        }
        let away = || StoreError::Unavailable("no answer".into());
        let answers = HashMap::from([
            (address(1), VecDeque::from([Err(away()), Ok(false)])),
            (address(2), VecDeque::from([Err(StoreError::Damaged { what: "family" })])),
        ]);
        (Arc::default(), Answers(Mutex::new(answers)), sessions, told)
    }

    /// So many notices, those of each connection in their order.
    async fn next(told: &mut mpsc::UnboundedReceiver<Told>, count: usize) -> Vec<Told> {
        let mut all = Vec::new();
        while all.len() < count {
            all.push(timeout(PATIENCE, told.recv()).await.unwrap().unwrap());
        }
        all.sort_by_key(|(n, _)| *n);
        all
    }

    #[actix::test]
    async fn a_store_that_does_not_answer_is_asked_again_and_one_that_is_damaged_keeps_nobody() {
        let (doubts, answers, sessions, mut told) = four();
        (1..=3).for_each(|n| doubts.of(news(n)));
        assert_eq!(doubts.waiting().len(), 3);
        let (at_work, here) = (Arc::clone(&doubts), Arc::clone(&sessions));
        let work = actix::spawn(async move { at_work.settle_all(&here, &answers).await });
        assert_eq!(next(&mut told, 2).await, [(1, Notice::Removed), (2, Notice::Removed)]);
        timeout(PATIENCE, async {
            while doubts.waiting().len() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        assert!(told.try_recv().is_err(), "the third may stay");
        work.abort();
    }

    #[actix::test]
    async fn who_has_missed_something_looks_at_everybody_and_tells_of_every_list() {
        let (doubts, answers, sessions, mut told) = four();
        doubts.of_everybody();
        let work = actix::spawn(async move { doubts.settle_all(&sessions, &answers).await });
        let (removed, changed) = (Notice::Removed, Notice::DevicesChanged { version: 7 });
        let all = [(1, removed), (1, changed), (2, removed), (2, changed), (4, changed)];
        assert_eq!(next(&mut told, 5).await, all, "the third list is damaged");
        work.abort();
    }
}
