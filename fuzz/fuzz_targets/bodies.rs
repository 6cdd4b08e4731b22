//! Bodies, chunked and other ones.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::hold("bodies", bytes));
