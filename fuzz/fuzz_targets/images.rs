#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| endtoend_fuzz_targets::images(data));
