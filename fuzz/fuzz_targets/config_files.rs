//! Config files: JSON, YAML, TOML.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::hold("config_files", bytes));
