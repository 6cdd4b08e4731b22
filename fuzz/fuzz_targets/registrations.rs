//! Requests and replies of registration.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::hold("registrations", bytes));
