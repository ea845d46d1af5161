#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| emberwatch_fuzz::body(data));
