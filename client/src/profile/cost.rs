//! How much a guess of the password costs: as much as this machine bears in half a second, and never less than the floor.

use std::time::Duration;

use endtoend_crypto_core::passphrase::{self, Params};

use crate::clock;

/// What one derivation should take, in a quiet moment.
const TARGET: Duration = Duration::from_millis(500);
/// A key that is derived costs at most this, so that the profile can be opened on a smaller machine too.
const MEMORY_KIB_MAX: u32 = 512 * 1024;
const PASSES_MAX: u32 = 10;

/// The parameters for a new vault, by one measurement of the floor.
pub(super) fn measured() -> Params {
    let begun = clock::monotonic();
    match passphrase::derive(b"how long does it take?", &[0; 16], Params::FLOOR) {
        Ok(_) => chosen(clock::monotonic().duration_since(begun), available_kib()),
        // There is no memory for more.
        Err(_) => Params::FLOOR,
    }
}

/// Whether a vault with these is sealed anew when it is opened.
pub(super) const fn is_cheaper_than(params: Params, floor: Params) -> bool {
    params.memory_kib < floor.memory_kib || params.passes < floor.passes || params.lanes < floor.lanes
}

/// Parameters that take about [`TARGET`], when the floor took `floor_took`. Memory is raised first, because that is what
/// guessing hardware lacks, up to a quarter of what is available; then passes.
fn chosen(floor_took: Duration, available_kib: u32) -> Params {
    let Params { memory_kib, passes, lanes } = Params::FLOOR;
    let times = u32::try_from(TARGET.as_micros() / floor_took.as_micros().max(1)).unwrap_or(u32::MAX);
    let room = (available_kib / 4).min(MEMORY_KIB_MAX) / memory_kib;
    let more_memory = times.min(room).max(1);
    let more_passes = (times / more_memory).max(1);
    Params { memory_kib: memory_kib * more_memory, passes: (passes * more_passes).min(PASSES_MAX), lanes }
}

/// Memory that programs can still have. Where the system does not say, little.
fn available_kib() -> u32 {
    let said = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = said.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = available.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok());
    u32::try_from(kib.unwrap_or_default()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLENTY: u32 = 16 * 1024 * 1024;

    #[test]
    fn a_slow_machine_has_the_floor_and_a_fast_one_more_memory() {
        let chosen = |ms, available| chosen(Duration::from_millis(ms), available);
        assert_eq!(chosen(2_000, PLENTY), Params::FLOOR);
        assert_eq!(chosen(400, PLENTY), Params::FLOOR);
        assert_eq!(chosen(100, PLENTY), Params { memory_kib: 5 * 64 * 1024, ..Params::FLOOR });
        assert_eq!(chosen(25, PLENTY), Params { memory_kib: 512 * 1024, passes: 6, lanes: 1 });
        assert_eq!(chosen(100, 600 * 1024), Params { memory_kib: 128 * 1024, passes: 6, lanes: 1 });
        assert_eq!(chosen(100, 0), Params { passes: 10, ..Params::FLOOR });
    }

    proptest! {
        #[test]
        fn it_is_never_below_the_floor_nor_above_what_a_vault_may_demand(micros: u64, available: u32) {
            let params = chosen(Duration::from_micros(micros), available);
            prop_assert!(!is_cheaper_than(params, Params::FLOOR));
            prop_assert!(params.memory_kib <= MEMORY_KIB_MAX && params.passes <= PASSES_MAX);
            prop_assert!(params.memory_kib == Params::FLOOR.memory_kib || params.memory_kib <= available / 4);
        }
    }
}
