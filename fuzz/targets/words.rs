#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dialplane_fuzz::words(input));
