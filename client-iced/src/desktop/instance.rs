//! A second start on a profile whose window is there, perhaps in the tray, shows that window.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use zbus::zvariant::OwnedValue;

use super::{News, Reach};

/// Longest wait for the program that was there first.
const ANSWER: Duration = Duration::from_secs(3);
pub(super) const PATH: &str = "/org/endtoend/Desktop";

/// What the program with this profile is called on the bus. The name tells nothing of where the profile lies.
pub fn name(home: &Path) -> String {
    let home = std::path::absolute(home).unwrap_or_else(|_| home.to_owned());
    let hash = blake3::derive_key("endtoend 2026 instance of a profile", home.as_os_str().as_encoded_bytes());
    format!("org.endtoend.Desktop.p{}", hex::encode(hash.get(..16).unwrap_or_default()))
}

/// What others can ask of this program.
pub(super) struct Instance {
    news: mpsc::Sender<News>,
}

impl Instance {
    pub(super) fn new(news: mpsc::Sender<News>) -> Self {
        Self { news }
    }
}

#[zbus::interface(name = "org.freedesktop.Application")]
impl Instance {
    async fn activate(&self, _platform_data: HashMap<String, OwnedValue>) {
        let _closed = self.news.send(News::Show).await;
    }
}

#[zbus::proxy(interface = "org.freedesktop.Application", default_path = "/org/endtoend/Desktop", gen_blocking = false)]
trait Application {
    fn activate(&self, platform_data: HashMap<&str, zbus::zvariant::Value<'_>>) -> zbus::Result<()>;
}

/// Shows the window of the program with this name, if there is one. Waits some seconds at most.
pub fn wake(reach: &Reach, name: &str) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = async {
        let builder = match reach {
            Reach::Session => zbus::connection::Builder::session()?,
            Reach::Address(address) => zbus::connection::Builder::address(address.as_str())?,
        };
        let connection = builder.method_timeout(ANSWER).build().await?;
        let proxy = ApplicationProxy::builder(&connection).destination(name.to_owned())?.build().await?;
        proxy.activate(HashMap::new()).await
    };
    let asked = async { tokio::time::timeout(ANSWER, asked).await };
    runtime.is_ok_and(|runtime| matches!(runtime.block_on(asked), Ok(Ok(()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_profile_has_a_name_that_the_bus_takes_and_that_tells_nothing() {
        let (one, two) = (name(Path::new("/home/alice/.local/share/endtoend")), name(Path::new("/tmp/bob")));
        assert_ne!(one, two);
        for name in [one, two] {
            zbus::names::WellKnownName::try_from(name.as_str()).unwrap();
            assert!(!name.contains("alice") && !name.contains("bob"));
        }
    }
}
