//! Rules: which stage follows which, and where a failure can be mended.

use super::{FirstRun, Stage, Way};
use crate::action::Action;
use crate::failure::Failure;
use crate::order::{Order, Step};
use crate::ui::id;

impl FirstRun {
    /// Whether the server is known, and the handle too: all that is asked for is what the server may ask of everybody.
    pub(super) const fn is_known(&self) -> bool {
        matches!(self.way, Way::Link | Way::Restore)
    }

    pub(super) fn go(&mut self, stage: Stage) -> Vec<Action> {
        if stage == Stage::Network && self.stage != Stage::Network {
            self.before_network = if self.stage == Stage::Waiting { Stage::Password } else { self.stage };
        }
        self.stage = stage;
        match stage {
            Stage::Server => vec![Action::Order(Order::Servers), Action::Focus(id::ADDRESS)],
            Stage::Backup => vec![Action::Focus(id::BACKUP)],
            Stage::Who if self.is_known() => vec![Action::Focus(id::SERVER_PASSWORD)],
            Stage::Who => vec![Action::Focus(id::HANDLE)],
            Stage::Password if !self.profile => vec![Action::Focus(id::PASSWORD)],
            Stage::Network => self.network.look(),
            Stage::Welcome | Stage::SignIn | Stage::Password | Stage::Waiting => Vec::new(),
        }
    }

    pub(super) fn back(&mut self) -> Vec<Action> {
        let stage = match (self.stage, self.way) {
            (Stage::Server, Way::Link | Way::Recover) | (Stage::Backup, _) => Stage::SignIn,
            (Stage::Network, _) => self.before_network,
            (Stage::Who, Way::Restore) => Stage::Backup,
            (Stage::Who, _) => Stage::Server,
            (Stage::Password, _) => Stage::Who,
            // A wait is ended by `Cancel`.
            (Stage::Waiting, _) => Stage::Waiting,
            (Stage::Welcome | Stage::SignIn | Stage::Server, _) => Stage::Welcome,
        };
        self.go(stage)
    }

    pub(super) fn next(&mut self) -> Result<Vec<Action>, Failure> {
        match self.stage {
            Stage::Welcome | Stage::SignIn | Stage::Waiting => Ok(Vec::new()),
            Stage::Server => {
                self.server()?;
                Ok(self.go(Stage::Who))
            }
            Stage::Network => {
                self.chosen_way()?;
                self.network_chosen = true;
                Ok(self.go(self.before_network))
            }
            Stage::Backup => {
                self.backup()?;
                Ok(self.go(Stage::Who))
            }
            Stage::Who => {
                self.invite()?;
                if !self.is_known() {
                    self.who()?;
                }
                Ok(self.go(Stage::Password))
            }
            Stage::Password => {
                let entry = self.entry()?;
                (self.stage, self.step, self.cancelling) = (Stage::Waiting, Step::Opening, false);
                Ok(vec![Action::Order(Order::Enter(Box::new(entry)))])
            }
        }
    }
}

/// Where something can be done about a failure.
pub(super) fn stage_of(key: &str) -> Stage {
    match key {
        "refused-handle-taken"
        | "refused-invite"
        | "refused-server-password"
        | "refused-registration-closed"
        | "refused-unknown-account" => Stage::Who,
        "backup-none" | "backup-newer" | "backup-passphrase" | "backup-damaged" | "file-unreadable" => Stage::Backup,
        "offline-unreachable" | "offline-untrusted" | "offline-protocol" | "refused-version" => Stage::Server,
        key if key.starts_with("tor-") || key.starts_with("onion-key-") => Stage::Network,
        _ => Stage::Password,
    }
}
