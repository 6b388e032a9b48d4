//! How the service is.

/// What its host says last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OnionState {
    /// A `tor` beside the node hosts it, and says so nowhere where the node looks.
    Elsewhere,
    /// On its way into the Tor network.
    #[cfg_attr(not(feature = "onion"), expect(dead_code, reason = "this build hosts none"))]
    Connecting {
        /// So far, of 100.
        percent: u8,
    },
    /// In the network, and telling it where it is found. A few seconds; where there are few relays it may stay so, and be found all the same.
    #[cfg_attr(not(feature = "onion"), expect(dead_code, reason = "this build hosts none"))]
    Publishing,
    /// Found by those who look.
    #[cfg_attr(not(feature = "onion"), expect(dead_code, reason = "this build hosts none"))]
    Up,
    /// Not reached, and tried again.
    #[cfg_attr(not(feature = "onion"), expect(dead_code, reason = "this build hosts none"))]
    Faulty {
        /// For operators.
        why: String,
    },
}

impl OnionState {
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Elsewhere => "elsewhere",
            Self::Connecting { .. } => "connecting",
            Self::Publishing => "publishing",
            Self::Up => "up",
            Self::Faulty { .. } => "faulty",
        }
    }

    /// What is wrong, or how far it is.
    pub(crate) fn detail(&self) -> Option<String> {
        match self {
            Self::Connecting { percent } => Some(format!("{percent} %")),
            Self::Faulty { why } => Some(why.clone()),
            Self::Elsewhere | Self::Publishing | Self::Up => None,
        }
    }
}
