//! libFuzzer against [`fuzz::delta_xds`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::delta_xds::holds(input));
