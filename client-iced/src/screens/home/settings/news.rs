//! What the bridge tells the settings.

use super::{Home, Linking, OwnLink, SettingsPage, Work};
use crate::action::Action;
use crate::order::{News, Order};
use crate::qr::Code;

impl SettingsPage {
    pub(super) fn news(&mut self, news: News) -> Vec<Action> {
        match news {
            News::Settings(Ok(privacy)) => self.privacy = Some(privacy),
            News::LockAfter(Ok(after)) => self.lock_after = Some(after),
            News::Devices(devices) => self.devices = Some(devices),
            News::Usage(usage) => self.usage = Some(usage),
            News::NetworkChosen(chosen) => return self.network.chosen(chosen),
            News::NetworkSet(set) => self.network.was_set(set),
            News::Circuits(renewed) => self.network.renewed(renewed),
            News::Checked(checked) => self.network.checked(checked),
            News::Bridges(read) => {
                return self.network.form().map(|form| form.bridges_read(read)).unwrap_or_default();
            }
            News::Programs(found) => {
                if let Some(form) = self.network.form() {
                    form.programs_found(found);
                }
            }
            News::FaceSource(source) => self.face.source_came(source),
            News::FaceSet(set) => self.face.was_set(set.map(|_| ())),
            News::OwnLink(link) => {
                self.link = Some(link.map(|text| OwnLink { code: Code::of(&text), text }));
            }
            News::Digits(Ok(digits)) => self.linking = Linking::Digits(digits),
            News::LetIn(Ok(())) => {
                self.linking = Linking::Done;
                self.code.clear();
                return vec![Action::Order(Order::Devices)];
            }
            News::Digits(Err(failure)) | News::LetIn(Err(failure)) => {
                self.linking = Linking::Idle;
                self.failure = Some(failure);
            }
            News::Written(Ok(written)) => self.work = Work::Written(written),
            News::Cleared(Ok(bytes)) => {
                self.work = Work::Cleared(bytes);
                return vec![Action::Order(Order::Usage)];
            }
            News::Written(Err(failure)) | News::Cleared(Err(failure)) => {
                self.work = Work::None;
                self.failure = Some(failure);
            }
            News::Settings(Err(failure)) | News::LockAfter(Err(failure)) => self.failure = Some(failure),
            _ => {}
        }
        Vec::new()
    }
}

impl Home {
    pub(in crate::screens::home) fn settings_news(&mut self, news: News) -> Vec<Action> {
        self.settings.as_mut().map(|page| page.news(news)).unwrap_or_default()
    }
}
