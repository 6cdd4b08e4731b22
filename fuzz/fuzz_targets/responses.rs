//! Responses, and what is written of them for clients.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::hold("responses", bytes));
