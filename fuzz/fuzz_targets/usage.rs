//! libFuzzer against [`fuzz::usage`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::usage::holds(input));
