//! libFuzzer against [`fuzz::glob`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::glob::holds(input));
