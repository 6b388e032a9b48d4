//! From a password to an account.

use std::path::Path;
use std::time::Duration;

use endtoend_client::address::ServerAddress;
use endtoend_client::backup::OpenedBackup;
use endtoend_client::engine::linking::{LinkNews, link};
use endtoend_client::engine::recovery::Returning;
use endtoend_client::engine::{Engine, Options, Registration};
use endtoend_client::profile::{self, Profile};
use endtoend_client::transport::{Network, NetworkSettings, TOR_FOLDER};
use zeroize::Zeroizing;

use super::worker::Worker;
use crate::failure::Failure;
use crate::order::{Arrival, Entry, Me, News, Restoring, Step, Ticket};
use crate::recent;
use crate::secret::Secret;

/// One attempt to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What an entry begins with.
enum Opened {
    Profile(Profile),
    /// And the profile that an earlier attempt has made of it.
    Backup(Box<OpenedBackup>, Option<Profile>),
}

/// What came of an entry.
enum Way {
    In(Box<Me>),
    NoAccount,
}

impl Worker {
    pub(super) async fn enter(&mut self, entry: Entry, given: u64) {
        self.close().await;
        let mut cancelled = self.cancelled.clone();
        // To open a profile takes a second and cannot be stopped on the way; a profile that is open can be closed.
        let opened = self.opened(&entry).await;
        let entered = match opened {
            Err(failure) => Some(Err(failure)),
            Ok(opened) => tokio::select! {
                biased;
                // Without a window there is nobody to enter for.
                _ = cancelled.wait_for(|number| *number != given) => None,
                entered = self.entered(entry, opened) => Some(entered),
            },
        };
        let exists = Profile::exists(&self.places.home);
        let told = match entered {
            Some(Ok(Way::In(me))) => {
                // Told at once: what the engine tells comes after it.
                let server = me.server.clone();
                self.say(News::Entered(me)).await;
                return self.remember(server).await;
            }
            Some(Ok(Way::NoAccount)) => News::NoAccount,
            Some(Err(failure)) => News::NotEntered(failure, exists),
            None => News::Cancelled(exists),
        };
        // Before it is told: whoever tries again at once finds the profile closed.
        self.close().await;
        self.say(told).await;
    }

    pub(super) async fn start_over(&mut self) {
        self.close().await;
        let home = self.places.home.clone();
        let gone = blocking(move || profile::wipe(&home).map(|_| ()).map_err(Failure::from)).await;
        self.say(News::StartedOver(gone)).await;
    }

    /// The server is one of those that were used last. That this cannot be noted keeps nobody out.
    async fn remember(&self, server: ServerAddress) {
        if let Some(path) = self.places.servers() {
            let _noted = tokio::task::spawn_blocking(move || recent::add(&path, &server)).await;
        }
    }

    /// The profile of an entry; a new one where none is, unless it is to be unlocked or restored.
    async fn opened(&self, entry: &Entry) -> Result<Opened, Failure> {
        self.say(News::Step(Step::Opening)).await;
        let home = self.places.home.clone();
        let (password, make) = match entry {
            Entry::Unlock(password) => (password.clone(), false),
            Entry::Register(ticket, _) | Entry::Recover(ticket) => (ticket.arrival.password.clone(), true),
            Entry::Link(arrival) => (arrival.password.clone(), true),
            Entry::Restore(restoring) => {
                let Restoring { path, passphrase, password, .. } = restoring.clone();
                return blocking(move || {
                    let backup = OpenedBackup::open(&path, passphrase.as_str().as_bytes())?;
                    let begun = begun(&home, &password, &backup)?;
                    Ok(Opened::Backup(Box::new(backup), begun))
                })
                .await;
            }
        };
        blocking(move || open_or_make(&home, &password, make).map(Opened::Profile)).await
    }

    async fn entered(&mut self, entry: Entry, opened: Opened) -> Result<Way, Failure> {
        let mut profile = match (opened, &entry) {
            (Opened::Profile(profile), _) => profile,
            (Opened::Backup(backup, begun), Entry::Restore(restoring)) => {
                let restoring = restoring.clone();
                return self.restored(restoring, backup, begun).await;
            }
            // An entry begins with what it needs.
            (Opened::Backup(..), _) => return Err(Failure::new("engine-stopped")),
        };
        match entry {
            Entry::Unlock(password) => self.start(profile, &password, true)?,
            Entry::Register(Ticket { handle, arrival }, invite) => {
                let Arrival { server, server_password, password, network } = arrival;
                choose(&mut profile, network)?;
                self.start(profile, &password, false)?;
                self.say(News::Step(Step::Asking)).await;
                let server_password = server_password.as_ref().map(bytes);
                let registration = Registration { server, handle, invite, server_password };
                let Some(engine) = self.engine.as_ref().map(Engine::handle) else {
                    return Err(Failure::new("engine-stopped"));
                };
                engine.register(registration).await?;
            }
            Entry::Link(Arrival { server, server_password, password, network: way }) => {
                choose(&mut profile, way)?;
                self.say(News::Step(Step::Asking)).await;
                let news = self.news.clone();
                // There is room: the window has been told two things since it asked.
                let told = move |step| {
                    let step = match step {
                        LinkNews::Code(code) => Step::Code(code),
                        LinkNews::Digits(digits) => Step::Digits(digits),
                    };
                    let _gone = news.try_send(News::Step(step));
                };
                let network = profile.network()?;
                self.follow(network.status());
                let server_password = server_password.as_ref().map(bytes);
                let linked = link(&mut profile, &network, server, server_password, CONNECT_TIMEOUT, told).await;
                network.close().await;
                linked?;
                self.start(profile, &password, true)?;
            }
            Entry::Recover(Ticket { handle, arrival }) => {
                let Arrival { server, server_password, password, network: way } = arrival;
                choose(&mut profile, way)?;
                self.say(News::Step(Step::Asking)).await;
                let secret = password.to_zeroizing();
                let server_password = server_password.as_ref().map(bytes);
                let network = profile.network()?;
                self.follow(network.status());
                let password_bytes = secret.as_bytes();
                let prove =
                    Returning::prove(&network, server, server_password, handle, password_bytes, CONNECT_TIMEOUT);
                let entered = match prove.await {
                    Ok(returning) => returning.enter(&mut profile).await,
                    Err(error) => Err(error),
                };
                network.close().await;
                entered?;
                self.start(profile, &password, true)?;
            }
            // See above.
            Entry::Restore(_) => return Err(Failure::new("engine-stopped")),
        }
        self.who().await
    }

    /// Asks the server first: until password and backup are both right, there is no profile.
    async fn restored(
        &mut self,
        restoring: Restoring,
        backup: Box<OpenedBackup>,
        mut begun: Option<Profile>,
    ) -> Result<Way, Failure> {
        let Restoring { server_password, password, network: way, .. } = restoring;
        self.say(News::Step(Step::Asking)).await;
        let (server, handle, given) = (backup.server().clone(), backup.handle().clone(), backup.provision()?);
        let (secret, server_password) = (password.to_zeroizing(), server_password.as_ref().map(bytes));
        let way = match (way, &mut begun) {
            (None, Some(begun)) => Some(begun.database().read().network()?),
            (way, _) => way,
        };
        let network = Network::new(way.clone().unwrap_or_default(), &self.places.home);
        self.follow(network.status());
        let secret = secret.as_bytes();
        let prove =
            Returning::prove_with(&network, server, server_password, handle, secret, CONNECT_TIMEOUT, Some(given));
        let entered = match prove.await {
            Ok(returning) => self.enter_restored(returning, &password, backup, begun, way).await,
            Err(error) => Err(error.into()),
        };
        network.close().await;
        if entered.is_err() && !Profile::exists(&self.places.home) {
            // What cannot be removed says which relays there are.
            let _gone = std::fs::remove_dir_all(self.places.home.join(TOR_FOLDER));
        }
        self.start(entered?, &password, true)?;
        self.who().await
    }

    /// A profile with what the backup has, as a device of its account.
    async fn enter_restored(
        &self,
        returning: Returning,
        password: &Secret,
        backup: Box<OpenedBackup>,
        begun: Option<Profile>,
        way: Option<NetworkSettings>,
    ) -> Result<Profile, Failure> {
        let mut profile = match begun {
            Some(profile) => profile,
            None => {
                self.say(News::Step(Step::Restoring)).await;
                let (home, password) = (self.places.home.clone(), password.clone());
                blocking(move || Ok(backup.restore(&home, password.as_str().as_bytes())?.0)).await?
            }
        };
        choose(&mut profile, way)?;
        returning.enter(&mut profile).await?;
        Ok(profile)
    }

    fn start(&mut self, profile: Profile, password: &Secret, online: bool) -> Result<(), Failure> {
        let options = Options { password: password.to_zeroizing(), online, connect_timeout: CONNECT_TIMEOUT };
        let engine = Engine::start(profile, options)?;
        self.follow(engine.network());
        self.engine = Some(engine);
        Ok(())
    }

    /// Whose profile it is that the engine runs on.
    async fn who(&self) -> Result<Way, Failure> {
        let Some(engine) = &self.engine else { return Err(Failure::new("engine-stopped")) };
        let status = engine.handle().status().await?;
        match (status.handle, status.device, status.server) {
            (Some(handle), Some(device), Some(server)) if status.registered => {
                self.listen(engine);
                Ok(Way::In(Box::new(Me { handle, device, server })))
            }
            _ => Ok(Way::NoAccount),
        }
    }
}

/// The profile takes this way, if one was chosen.
fn choose(profile: &mut Profile, way: Option<NetworkSettings>) -> Result<(), Failure> {
    if let Some(way) = way {
        profile.database().write(|store| store.set_network(&way))?;
    }
    Ok(())
}

fn bytes(secret: &Secret) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(secret.as_str().as_bytes().to_vec())
}

/// The profile that an earlier attempt has restored from the same account's backup, and that is no device yet.
fn begun(home: &Path, password: &Secret, backup: &OpenedBackup) -> Result<Option<Profile>, Failure> {
    if !Profile::exists(home) {
        return Ok(None);
    }
    let mut profile = Profile::open(home, password.as_str().as_bytes())?;
    let store = profile.database().read();
    if store.account()?.is_some() {
        return Err(Failure::new("account-exists"));
    }
    match store.restored()? {
        Some(account) if account == backup.account() => Ok(Some(profile)),
        Some(_) => Err(Failure::new("other-account")),
        None => Err(Failure::new("profile-exists")),
    }
}

fn open_or_make(home: &Path, password: &Secret, make: bool) -> Result<Profile, Failure> {
    let password = password.as_str().as_bytes();
    match make && !Profile::exists(home) {
        true => Ok(Profile::create(home, password)?),
        false => Ok(Profile::open(home, password)?),
    }
}

/// What takes long is done beside.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Failure::new("engine-stopped")))
}
