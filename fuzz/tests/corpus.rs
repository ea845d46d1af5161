//! Every target over what a fuzzer found before, and over chance: what it found once is never found again.

use proptest::prelude::*;

#[test]
fn what_was_found_before_is_no_fault_any_more() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in emberwatch_fuzz::ALL {
        let files = std::fs::read_dir(corpus.join(name)).unwrap_or_else(|e| panic!("corpus of {name}: {e}"));
        let mut read = 0;
        for file in files {
            let path = file.expect("an entry").path();
            target(&std::fs::read(&path).expect("a file"));
            read += 1;
        }
        assert!(read > 0, "{name} has a corpus");
    }
}

proptest! {
    #[test]
    fn no_bytes_are_a_fault(data in proptest::collection::vec(any::<u8>(), 0..2000)) {
        for (_, target) in emberwatch_fuzz::ALL {
            target(&data);
        }
    }
}
