//! See [`fuzz::rdb`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::rdb(bytes));
