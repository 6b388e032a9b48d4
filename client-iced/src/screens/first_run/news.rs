//! What the bridge tells somebody on the way to an account.

use endtoend_client::files::Source;

use super::course::stage_of;
use super::{FirstRun, Stage, Way, take};
use crate::action::Action;
use crate::order::News;

impl FirstRun {
    /// The bridge tells something.
    pub fn news(&mut self, news: News) -> Vec<Action> {
        match news {
            News::Step(step) => {
                self.step = step;
                Vec::new()
            }
            News::NotEntered(failure, profile) => {
                self.profile = profile;
                let stage = match stage_of(failure.key) {
                    // The server of a backup is in it: nothing about it can be put right there.
                    Stage::Server if self.way == Way::Restore => Stage::Password,
                    stage => stage,
                };
                let actions = self.go(stage);
                self.failure = Some(failure);
                actions
            }
            News::Network(status) => {
                self.status = status;
                Vec::new()
            }
            News::Bridges(read) => self.network.bridges_read(read),
            News::Programs(found) => {
                self.network.programs_found(found);
                Vec::new()
            }
            News::Servers(servers) => {
                self.servers = servers;
                Vec::new()
            }
            News::Chosen(files) => {
                self.choosing = false;
                match files.into_iter().next() {
                    Some(Source::File(path)) => self.dropped(&path),
                    Some(Source::Bytes(..)) | None => Vec::new(),
                }
            }
            News::Code(code) => {
                self.choosing = false;
                match code {
                    Ok(Some(code)) => take(&mut self.address, code),
                    Ok(None) => {}
                    Err(failure) => self.failure = Some(failure),
                }
                Vec::new()
            }
            News::Cancelled(profile) => {
                self.profile = profile;
                self.go(Stage::Password)
            }
            News::StartedOver(Ok(())) => {
                *self = Self::default();
                Vec::new()
            }
            News::StartedOver(Err(failure)) | News::Failed(failure) => {
                self.failure = Some(failure);
                if self.stage == Stage::Waiting { self.go(Stage::Password) } else { Vec::new() }
            }
            _ => Vec::new(),
        }
    }
}
