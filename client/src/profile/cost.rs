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

/// Parameters that take at most about [`TARGET`], when the floor took `floor_took`. Memory is raised first, because that is
/// what guessing hardware lacks, up to a quarter of what is available; then passes.
fn chosen(floor_took: Duration, available_kib: u32) -> Params {
    let Params { memory_kib, passes, lanes } = Params::FLOOR;
    // The time is proportional to both, so this much memory at the floor's passes takes as long as it should.
    let wanted_kib = u128::from(memory_kib) * TARGET.as_micros() / floor_took.as_micros().max(1);
    let room_kib = (available_kib / 4).min(MEMORY_KIB_MAX).max(memory_kib);
    let memory = u32::try_from(wanted_kib).unwrap_or(u32::MAX).clamp(memory_kib, room_kib);
    let more_passes = u32::try_from(u128::from(passes) * wanted_kib / u128::from(memory)).unwrap_or(u32::MAX);
    Params { memory_kib: memory, passes: more_passes.clamp(passes, PASSES_MAX), lanes }
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
    use crate::profile::vault::PARAMS_MAX;

    const PLENTY: u32 = 16 * 1024 * 1024;

    #[test]
    fn a_slow_machine_has_the_floor_and_a_fast_one_more_memory() {
        const MIB: u32 = 1024;
        let chosen = |ms, available| chosen(Duration::from_millis(ms), available);
        assert_eq!(chosen(2_000, PLENTY), Params::FLOOR);
        assert_eq!(chosen(500, PLENTY), Params::FLOOR);
        assert_eq!(chosen(400, PLENTY), Params { memory_kib: 80 * MIB, ..Params::FLOOR });
        assert_eq!(chosen(100, PLENTY), Params { memory_kib: 320 * MIB, ..Params::FLOOR });
        assert_eq!(chosen(25, PLENTY), Params { memory_kib: 512 * MIB, passes: 7, lanes: 1 });
        assert_eq!(chosen(100, 600 * MIB), Params { memory_kib: 150 * MIB, passes: 6, lanes: 1 });
        assert_eq!(chosen(100, 0), Params { passes: 10, ..Params::FLOOR });
    }

    proptest! {
        #[test]
        fn it_is_never_below_the_floor_nor_above_what_a_vault_may_demand(micros: u64, available: u32) {
            let params = chosen(Duration::from_micros(micros), available);
            prop_assert!(!is_cheaper_than(params, Params::FLOOR));
            prop_assert!(!is_cheaper_than(PARAMS_MAX, params));
            prop_assert!(params.memory_kib == Params::FLOOR.memory_kib || params.memory_kib <= available / 4);
        }

        #[test]
        fn it_takes_half_a_second_where_the_bounds_let_it(micros in 1_000_u64..2_000_000, available: u32) {
            let params = chosen(Duration::from_micros(micros), available);
            let work = |params: Params| f64::from(params.memory_kib) * f64::from(params.passes);
            let takes = micros as f64 / 1e6 * work(params) / work(Params::FLOOR);
            prop_assert!(params == Params::FLOOR || takes <= 0.5, "{takes} s");
            // One pass that does not fit any more is the most that is missing.
            prop_assert!(params.passes == PASSES_MAX || takes > 0.5 * 3.0 / 4.0 - 1e-3, "{takes} s");
        }
    }
}
