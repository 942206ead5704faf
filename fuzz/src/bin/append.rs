//! See [`fuzz::append`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::append(bytes));
