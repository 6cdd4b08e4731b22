//! What goes down a channel.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::hold("handoffs", bytes));
