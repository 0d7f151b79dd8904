//! libFuzzer against [`fuzz::authority`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::authority::holds(input));
