//! How often, and how far apart, a chunk is tried again.

use super::super::finding::{Finding, Severity};
use super::super::section::Section;
use super::super::values::{self, Retries};
use super::{View, is_pushed};

/// More retries than these keep a chunk for minutes.
const FEW: i64 = 5;

/// A wait longer than this is no longer "soon".
const SOON_SECONDS: i64 = 60;

/// What bridges an outage of hours without a chunk in anybody's memory.
const LOSES_NOTHING: &str =
    "To lose nothing, send through a Fluent Bit of its own that keeps chunks on disk and retries without limit.";

/// What others survive, with 25 MB of memory at 1 MB/s: measured, with more they lost lines (docs/fluent-bit.md).
const TEE_RETRIES: &str = "1";

/// `Retry_Limit` is 1 unless said (src/flb_output.c, 1.9.10 to 5.1.1); waits as in src/flb_scheduler.c. Two retries
/// bridge a restart of the receiver. Beside other outputs one, written down, is a choice: what waits less, holds up less.
pub(super) fn few(view: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    let (base, cap) = view.clock();
    let (severity, says) = match View::retries(output) {
        Some(Retries::None) => {
            (Severity::Lost, "A chunk is dropped at the first failure, such as a restart of the receiver.".to_owned())
        }
        Some(Retries::Times(1)) => {
            let (shortest, longest) = values::patience(1, base, cap);
            let chosen = output.known("retry_limit") == Some("1") && view.is_beside_others(output);
            let says = format!(
                "One retry, {shortest} to {longest} s after the first try: any longer trouble drops the chunk."
            );
            (if chosen { Severity::Note } else { Severity::Lost }, says)
        }
        Some(Retries::Times(times)) if times <= FEW => {
            let (shortest, longest) = values::patience(times, base, cap);
            let says =
                format!("Bridges {shortest} to {longest} s of trouble; what is down for longer misses those lines.");
            (Severity::Note, says)
        }
        Some(Retries::Times(_) | Retries::Unlimited) | None => return,
    };
    let finding = output.finding("retries_few", severity, "Retry_Limit", "the default is 1").says(says);
    findings.push(match severity {
        // Chunks on disk may wait; in memory each retry more holds up the others (measured: docs/fluent-bit.md).
        Severity::Lost if view.is_beside_others(output) && view.holds_memory(output) => {
            finding.write("Retry_Limit", TEE_RETRIES).otherwise(LOSES_NOTHING)
        }
        Severity::Lost => finding.write("Retry_Limit", if view.holds_memory(output) { "2" } else { "no_limits" }),
        _ => finding.otherwise(LOSES_NOTHING),
    });
}

/// A chunk that waits for a retry stays in memory, and every output that shares it waits with it: at
/// `Mem_Buf_Limit` the input pauses (src/flb_input_chunk.c), without one the process is killed.
pub(super) fn endless(view: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    let keeps = match View::retries(output) {
        Some(Retries::Unlimited) => true,
        Some(Retries::Times(times)) => times > FEW,
        Some(Retries::None) | None => false,
    };
    if !keeps || !view.holds_memory(output) {
        return;
    }
    let sources = view.sources(output);
    let (severity, says) = if view.is_firelens() {
        (
            Severity::Hurts,
            "While the receiver is down, waiting chunks fill the log router's memory: its input pauses and every \
             container loses lines for every output, or the router is killed and the task with it.",
        )
    } else if view.is_beside_others(output) {
        (
            Severity::Hurts,
            "While the receiver is down, waiting chunks fill the memory that other outputs share: the input pauses \
             and they lose lines or wait, too.",
        )
    } else if sources.iter().any(|input| is_pushed(input) && !view.on_disk(input)) {
        (
            Severity::Lost,
            "While the receiver is down, waiting chunks fill the memory; the input pauses and loses what is sent to it.",
        )
    } else {
        return;
    };
    let finding =
        output.finding("retries_endless", severity, "Retry_Limit", "").says(says).write("Retry_Limit", TEE_RETRIES);
    findings.push(if view.is_firelens() {
        finding
    } else {
        let finding = finding.otherwise("or keep waiting chunks on disk:");
        finding.write_in("input", "storage.type", "filesystem").write_in(
            "service",
            "storage.path",
            "/var/lib/fluent-bit",
        )
    });
}

/// Waits double up to `scheduler.cap`, 2000 s unless said (src/flb_scheduler.c).
pub(super) fn far_apart(view: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    let (base, cap) = view.clock();
    let wait = match View::retries(output) {
        Some(Retries::Unlimited) => values::longest_wait(40, base, cap),
        Some(Retries::Times(times)) => values::longest_wait(times, base, cap),
        Some(Retries::None) | None => return,
    };
    if wait <= SOON_SECONDS {
        return;
    }
    let how = if view.serves("scheduler.cap").is_some() { "" } else { " (scheduler.cap is 2000 s unless set)" };
    let finding = output.finding("retries_far_apart", Severity::Slowed, "Retry_Limit", "").says(format!(
        "After an outage lines may come up to {} late: retries move apart to {wait} s{how}.",
        if wait > 120 { format!("{} min", wait / 60) } else { format!("{wait} s") }
    ));
    findings.push(if view.is_firelens() {
        finding.write("Retry_Limit", TEE_RETRIES)
    } else {
        finding
            .write_in("service", "scheduler.cap", "30")
            .otherwise("scheduler.* is for all outputs: others retry sooner, too.")
    });
}

#[cfg(test)]
mod tests {
    use crate::fluent_bit::tests::rules;

    #[test]
    fn retries_are_judged_by_what_they_cost() {
        let memory = "[INPUT]\n Name forward\n[OUTPUT]\n Name es\n Match *\n";
        let disk = "[SERVICE]\n storage.path /s\n scheduler.cap 30\n[INPUT]\n Name forward\n storage.type filesystem\n";
        for (before, limit, expected) in [
            ("", "", "lost retries_few"),
            ("", " Retry_Limit 1\n", "note retries_few"),
            (memory, " Retry_Limit 1\n", "note retries_few"),
            ("[INPUT]\n Name forward\n", " Retry_Limit 1\n", "lost retries_few"),
            ("", " Retry_Limit no_retries\n", "lost retries_few"),
            ("", " Retry_Limit many\n", "lost retries_few"),
            ("", " Retry_Limit 2\n", "note retries_few"),
            ("", " Retry_Limit ${LIMIT}\n", ""),
            (memory, " Retry_Limit no_limits\n", "hurts retries_endless, slowed retries_far_apart"),
            (memory, " Retry_Limit 9\n", "hurts retries_endless, slowed retries_far_apart"),
            ("", " Retry_Limit false\n", "hurts retries_endless, slowed retries_far_apart"),
            ("[INPUT]\n Name forward\n", " Retry_Limit false\n", "lost retries_endless, slowed retries_far_apart"),
            ("[INPUT]\n Name tail\n", " Retry_Limit false\n", "slowed retries_far_apart"),
            (disk, " Retry_Limit no_limits\n", ""),
        ] {
            let text = format!("{before}[OUTPUT]\n Name http\n Match *\n URI /ingest\n{limit}");
            assert_eq!(rules(&text, "retries_"), expected, "{text}");
        }
    }
}
