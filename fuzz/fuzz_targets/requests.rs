//! Requests, and what is written of them for workers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::hold("requests", bytes));
