//! How many files the process may have open. Every connection is one, so the limit of the system is one of connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Open files beside connections to clients and to PostgreSQL: the database with its journals, a backup, listeners, the
/// admin socket, Redis, one event queue for each thread.
const OTHERS_MAX: u64 = 256;

/// The system allows fewer open files than the configured connections need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{needed} open files are needed and {allowed} allowed: allow more (ulimit -Hn, or LimitNOFILE= of the service), \
     or set [gateway] connections_max to {fitting} or less"
)]
pub struct TooFewFiles {
    needed: u64,
    allowed: u64,
    fitting: u64,
}

/// Lowers `connections_max`, where nobody has chosen it, to what the system allows.
pub fn fit_default(config: &mut Config) {
    let (wanted, store) = (config.gateway.connections_max, config.storage.connections_max.get());
    let Err(TooFewFiles { allowed, fitting, .. }) = raise_limit(wanted, store) else { return };
    if let Some(connections_max) = u32::try_from(fitting).ok().filter(|fitting| *fitting > 0) {
        tracing::warn!(
            allowed,
            connections_max,
            "the system allows too few open files for {wanted} connections: fewer are admitted; more with a higher limit \
             (ulimit -Hn, or LimitNOFILE= of the service)"
        );
        config.gateway.connections_max = connections_max;
    }
}

/// Raises the process's own limit as far as it may, and compares it with what the connections to clients need beside those
/// to the store.
///
/// # Errors
/// When they do not fit.
pub(super) fn raise_limit(connections_max: u32, store_connections_max: u32) -> Result<(), TooFewFiles> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        tracing::warn!("cannot raise the limit of open files");
        return fits(connections_max, store_connections_max, current);
    }
    fits(connections_max, store_connections_max, maximum)
}

/// `None` allows any number.
fn fits(connections_max: u32, store_connections_max: u32, allowed: Option<u64>) -> Result<(), TooFewFiles> {
    let others = OTHERS_MAX + u64::from(store_connections_max);
    let needed = u64::from(connections_max) + others;
    match allowed {
        Some(allowed) if allowed < needed => {
            Err(TooFewFiles { needed, allowed, fitting: allowed.saturating_sub(others) })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_have_to_fit_into_the_limit_of_the_system() {
        assert_eq!(fits(10_000, 10, Some(10_266)), Ok(()));
        assert_eq!(fits(u32::MAX, u32::MAX, None), Ok(()));
        let refused = fits(10_000, 10, Some(4_096)).unwrap_err();
        assert_eq!(refused, TooFewFiles { needed: 10_266, allowed: 4_096, fitting: 3_830 });
        assert_eq!(fits(3_830, 10, Some(4_096)), Ok(()));
    }
}
