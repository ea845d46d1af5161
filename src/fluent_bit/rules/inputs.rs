//! Inputs that feed our outputs.

use super::super::finding::{Finding, Severity};
use super::super::section::Section;
use super::super::values;
use super::{View, is_pushed};

fn ours<'v>(view: &'v View<'_>) -> impl Iterator<Item = &'v Section> {
    view.inputs
        .iter()
        .copied()
        .filter(|input| !input.generated && view.ours.iter().any(|output| view.feeds(input, output)))
}

/// Without `DB` nothing remembers how far a file was read (plugins/in_tail/tail_file.c): after a restart it begins
/// at the end, or with `Read_from_Head` at the beginning.
pub(super) fn tail(view: &View<'_>, findings: &mut Vec<Finding>) {
    for input in ours(view).filter(|input| input.is("tail")) {
        if !input.has("db") {
            let again = input.known("read_from_head").and_then(values::boolean) == Some(true);
            let (severity, says) = if again {
                (Severity::Doubled, "After a restart of Fluent Bit whole files are read and counted again.")
            } else {
                (
                    Severity::Lost,
                    "After a restart of Fluent Bit reading begins at the end: what was written meanwhile is lost.",
                )
            };
            let finding = input.finding("inputs_tail", severity, "DB", "").says(says);
            findings.push(finding.write("DB", "/var/lib/fluent-bit/tail.db"));
        }
        if input.known("exit_on_eof").and_then(values::boolean) == Some(true) {
            findings.push(
                input
                    .finding("inputs_tail", Severity::Note, "Exit_On_Eof", "")
                    .says("Fluent Bit stops at the end of its files: what is written later is not read.")
                    .write("Exit_On_Eof", "Off"),
            );
        }
        if input.known("skip_long_lines").and_then(values::boolean) == Some(true) {
            findings.push(
                input
                    .finding("inputs_tail", Severity::Note, "Skip_Long_Lines", "")
                    .says("Lines longer than Buffer_Max_Size (32 KB unless set) are skipped; stack traces are such lines.")
                    .write("Buffer_Max_Size", "1M"),
            );
        }
    }
}

/// At `Mem_Buf_Limit` an input in memory pauses (src/flb_input_chunk.c). A file waits; who pushes does not. Since all
/// chunks leave at the flush tick, the limit is also the most that is sent per tick (measured).
pub(super) fn paused(view: &View<'_>, findings: &mut Vec<Finding>) {
    for input in ours(view).filter(|input| !view.on_disk(input)) {
        let Some(text) = input.known("mem_buf_limit") else { continue };
        let Some(bytes) = values::bytes(text) else { continue };
        if is_pushed(input) {
            findings.push(
                input
                    .finding("inputs_paused", Severity::Lost, "Mem_Buf_Limit", "")
                    .says("At that many bytes the input pauses, and what is sent to it meanwhile is lost, for every output.")
                    .write("storage.type", "filesystem")
                    .write_in("service", "storage.path", "/var/lib/fluent-bit"),
            );
        } else if bytes <= 5_000_000 {
            findings.push(
                input
                    .finding("inputs_paused", Severity::Slowed, "Mem_Buf_Limit", "")
                    .says("Also the most that is read per flush: a burst beyond it comes late, and a file rotated meanwhile is lost.")
                    .write("Mem_Buf_Limit", "50M"),
            );
        }
    }
}

/// With its chunks on disk an input still pauses at `storage.max_chunks_up` (128) if it is told to
/// (`storage.pause_on_chunks_overlimit`, src/flb_input_chunk.c).
pub(super) fn paused_on_disk(view: &View<'_>, findings: &mut Vec<Finding>) {
    let key = "storage.pause_on_chunks_overlimit";
    for input in ours(view).filter(|input| view.on_disk(input) && is_pushed(input)) {
        if input.known(key).and_then(values::boolean) == Some(true) {
            findings.push(
                input
                    .finding("inputs_paused", Severity::Lost, key, "")
                    .says("At storage.max_chunks_up (128) waiting chunks the input pauses, and what is sent to it meanwhile is lost.")
                    .write(key, "off"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fluent_bit::tests::rules;

    #[test]
    fn inputs_are_judged_by_what_a_pause_or_a_restart_costs() {
        for (input, expected) in [
            (" Name tail\n", "lost inputs_tail"),
            (" Name tail\n Read_from_Head On\n", "doubled inputs_tail"),
            (" Name tail\n DB /x.db\n", ""),
            (" Name tail\n Tag other\n", ""),
            (" Name tail\n DB /x.db\n Skip_Long_Lines On\n", "note inputs_tail"),
            (" Name tail\n DB /x.db\n Exit_On_Eof On\n", "note inputs_tail"),
            (" Name tail\n DB /x.db\n Mem_Buf_Limit 5MB\n", "slowed inputs_paused"),
            (" Name tail\n DB /x.db\n Mem_Buf_Limit 50MB\n", ""),
            (" Name forward\n Mem_Buf_Limit 25MB\n", "lost inputs_paused"),
            (" Name forward\n Mem_Buf_Limit 25MB\n storage.type filesystem\n", ""),
            (" Name forward\n storage.type filesystem\n storage.pause_on_chunks_overlimit on\n", "lost inputs_paused"),
            (" Name tail\n DB /x\n storage.type filesystem\n storage.pause_on_chunks_overlimit on\n", ""),
            (" Name forward\n", ""),
        ] {
            let text = format!("[INPUT]\n{input}[OUTPUT]\n Name http\n Match app.*\n URI /ingest\n");
            assert_eq!(rules(&text, "inputs_"), expected, "{input}");
        }
    }
}
