//! libFuzzer against [`fuzz::sealing`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::sealing::holds(input));
