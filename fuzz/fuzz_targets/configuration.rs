//! libFuzzer against [`fuzz::configuration`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::configuration::holds(input));
