//! Lines on the control socket.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::hold("control_lines", bytes));
