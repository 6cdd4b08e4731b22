//! What a supervisor sends to the one that replaces it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::hold("moved", bytes));
