//! What is wrong with an edge, each until it is not so any more.

/// Said together: none hides another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Alarms {
    failed: Option<String>,
    silent: Option<String>,
    unwritten: Option<String>,
}

impl Alarms {
    /// HAProxy is what is wanted.
    pub(super) fn applied(&mut self) {
        (self.failed, self.silent) = (None, None);
    }

    /// It could not be made so.
    pub(super) fn failed(&mut self, why: String) {
        self.failed = Some(why);
    }

    /// It was looked at, and is what it was last; `wanted`, if that is what is wanted.
    pub(super) fn looked(&mut self, wanted: bool) {
        self.silent = None;
        if wanted {
            self.failed = None;
        }
    }

    /// It did not answer when it was looked at.
    pub(super) fn silent(&mut self, why: String) {
        self.silent = Some(why);
    }

    /// What was applied was written down, or why not.
    pub(super) fn kept(&mut self, unwritten: Option<&str>) {
        self.unwritten = unwritten.map(|why| format!("applied, and not written down: {why}"));
    }

    /// All of it, in one line.
    pub(super) fn text(&self) -> Option<String> {
        let mut texts: Vec<&str> = Vec::new();
        for text in [&self.failed, &self.silent, &self.unwritten].into_iter().flatten() {
            // Both may have met the same.
            if !texts.iter().any(|said| said.contains(text.as_str())) {
                texts.push(text);
            }
        }
        (!texts.is_empty()).then(|| texts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_alarm_hides_another_or_stays_when_it_is_over() {
        let mut alarms = Alarms::default();
        let text = |alarms: &Alarms| alarms.text().unwrap_or_default();
        assert_eq!(alarms.text(), None);
        alarms.failed("it is not what it should be".to_owned());
        alarms.kept(None);
        assert_eq!(text(&alarms), "it is not what it should be", "that something was written says nothing of it");
        alarms.kept(Some("no room"));
        alarms.silent("no answer".to_owned());
        assert_eq!(text(&alarms), "it is not what it should be; no answer; applied, and not written down: no room");
        alarms.looked(false);
        assert_eq!(text(&alarms), "it is not what it should be; applied, and not written down: no room");
        alarms.looked(true);
        assert_eq!(text(&alarms), "applied, and not written down: no room");
        alarms.silent("no answer".to_owned());
        alarms.failed("HAProxy does not answer: no answer".to_owned());
        alarms.kept(None);
        assert_eq!(text(&alarms), "HAProxy does not answer: no answer", "once");
        alarms.applied();
        assert_eq!(alarms.text(), None);
    }
}
