//! Requests, followed without taking them apart.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::hold("followed_requests", bytes));
