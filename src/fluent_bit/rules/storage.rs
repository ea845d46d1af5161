//! Chunks on disk.

use super::super::finding::{Finding, Severity};
use super::super::section::Section;
use super::super::values::{self, Retries};
use super::View;

/// A chunk is about 2 MB; a store of fewer than eight of them holds back nothing.
const SMALL_BYTES: i64 = 16_000_000;

/// `storage.total_limit_size` deletes the oldest chunks of this output, without a line in the log;
/// without it an outage fills the disk (src/flb_input_chunk.c).
pub(super) fn limit(view: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    if view.holds_memory(output) && !view.sources(output).into_iter().any(|input| view.on_disk(input)) {
        return;
    }
    let key = "storage.total_limit_size";
    match output.get(key).map(|entry| entry.known()) {
        Some(None) => {}
        Some(Some(text)) if values::bytes(text).is_some_and(|bytes| bytes < SMALL_BYTES) => findings.push(
            output
                .finding("storage_limit", Severity::Lost, key, "")
                .says("Holds fewer than eight chunks: in a short outage the oldest are deleted, without a word in the log.")
                .write(key, "5G"),
        ),
        Some(Some(text)) if values::bytes(text).is_some() => findings.push(
            output
                .finding("storage_limit", Severity::Note, key, "")
                .says("Beyond it the oldest chunks are deleted, without a word in the log: watch how full it is."),
        ),
        Some(Some(_)) | None => {
            if View::retries(output) != Some(Retries::Unlimited) {
                return;
            }
            let severity = if view.has_neighbors(output) { Severity::Hurts } else { Severity::Note };
            findings.push(
                output
                    .finding("storage_limit", severity, key, "no limit")
                    .says("While the receiver is down chunks pile up until the disk is full, and then every output stops.")
                    .write(key, "5G"),
            );
        }
    }
}

/// An input that wants its chunks on disk and has no disk: Fluent Bit does not start (src/flb_storage.c).
pub(super) fn path(view: &View<'_>, findings: &mut Vec<Finding>) {
    let has_path = view.service.is_some_and(|service| service.has("storage.path"));
    // Of FireLens and of pieces the service section is elsewhere.
    if has_path || view.is_firelens() {
        return;
    }
    for input in view.inputs.iter().filter(|input| view.on_disk(input) && !input.generated) {
        findings.push(
            input
                .finding("storage_path", Severity::Lost, "storage.type", "")
                .says("Without storage.path Fluent Bit does not start.")
                .write_in("service", "storage.path", "/var/lib/fluent-bit"),
        );
    }
}

/// `memrb`: a ring in memory, which overwrites.
pub(super) fn overrun(view: &View<'_>, findings: &mut Vec<Finding>) {
    for input in &view.inputs {
        if input.known("storage.type").is_some_and(|kind| kind.eq_ignore_ascii_case("memrb")) {
            findings.push(
                input
                    .finding("storage_overrun", Severity::Lost, "storage.type", "")
                    .says("At Mem_Buf_Limit the oldest chunks are thrown away, for every output.")
                    .write("storage.type", "filesystem"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fluent_bit::tests::rules;

    #[test]
    fn chunks_on_disk_need_a_path_and_a_limit() {
        let disk = "[SERVICE]\n storage.path /s\n[INPUT]\n Name tail\n storage.type filesystem\n";
        let no_path = "[INPUT]\n Name tail\n storage.type filesystem\n";
        let inherits = "[SERVICE]\n storage.type filesystem\n storage.inherit on\n[INPUT]\n Name tail\n";
        let ignored = "[SERVICE]\n storage.type filesystem\n[INPUT]\n Name tail\n";
        let other = "[OUTPUT]\n Name es\n Match *\n";
        for (before, keys, expected) in [
            (disk, " storage.total_limit_size 1M\n", "lost storage_limit"),
            (disk, " storage.total_limit_size 5G\n", "note storage_limit"),
            (disk, " Retry_Limit no_limits\n", "note storage_limit"),
            (disk, "", ""),
            (no_path, "", "lost storage_path"),
            (inherits, "", "lost storage_path"),
            (ignored, "", ""),
            ("[INPUT]\n Name tail\n", " storage.total_limit_size 1M\n", ""),
            ("[INPUT]\n Name tail\n storage.type memrb\n", "", "lost storage_overrun"),
        ] {
            let text = format!("{before}[OUTPUT]\n Name http\n Match *\n URI /ingest\n{keys}");
            assert_eq!(rules(&text, "storage_"), expected, "{text}");
        }
        let shared = format!("{disk}{other}[OUTPUT]\n Name http\n Match *\n URI /ingest\n Retry_Limit off\n");
        assert_eq!(rules(&shared, "storage_"), "hurts storage_limit");
    }
}
