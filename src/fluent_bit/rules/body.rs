//! What stands in a request's body: format, date, one record or many, compression.

use super::super::finding::{Finding, Severity};
use super::super::section::Section;
use super::super::values;
use super::View;

/// Formats that the receiver reads as they are meant (plugins/out_http/http_conf.c; `json_lines` is what to write).
const FORMATS: [&str; 5] = ["json", "json_lines", "json_stream", "msgpack", "gelf"];

/// One record without the message's key makes a whole chunk of GELF fail, and Fluent Bit throws it away
/// (src/flb_pack_gelf.c, plugins/out_http/http.c). An unknown format is sent as msgpack.
pub(super) fn format(_: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    let Some(format) = output.known("format").map(str::to_ascii_lowercase) else { return };
    if format == "gelf" && !output.has("gelf_short_message_key") {
        findings.push(
            output
                .finding("body_format", Severity::Lost, "Format", "")
                .says("Without gelf_short_message_key one record that has no `short_message` drops its whole chunk.")
                .write("Format", "json_lines"),
        );
    } else if format == "gelf" {
        findings.push(
            output
                .finding("body_format", Severity::Note, "Format", "")
                .says("One record without that key drops its whole chunk, and what is nested is flattened.")
                .write("Format", "json_lines"),
        );
    } else if !FORMATS.contains(&format.as_str()) {
        findings.push(
            output
                .finding("body_format", Severity::Note, "Format", "")
                .says("No format of this output: it falls back to msgpack, which the receiver reads, too.")
                .write("Format", "json_lines"),
        );
    }
}

/// Keys the receiver looks for a time in.
const DATE_KEYS: [&str; 8] = ["date", "@timestamp", "timestamp", "@t", "datetime", "time", "ts", "eventtime"];

/// Keys that records have already: the record's value is what remains of equal keys (src/flb_pack.c).
const TAKEN_KEYS: [&str; 6] = ["log", "source", "stream", "container_name", "container_id", "message"];

/// Records are counted in the window of their own time; without it in that of their arrival, which after an outage
/// is another one.
pub(super) fn date(_: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    let says = match output.known("json_date_key") {
        Some(text) if values::boolean(text) == Some(false) => Some(
            "No time is sent: lines count when they arrive, also late ones, and equal chunks may pass for repeats.",
        ),
        Some(text) if TAKEN_KEYS.contains(&text) => {
            Some("Records have a key of that name, which replaces the time: lines count when they arrive.")
        }
        Some(text) if !DATE_KEYS.contains(&text.to_ascii_lowercase().as_str()) => {
            Some("The receiver does not look for a time there: lines count when they arrive.")
        }
        Some(_) | None => None,
    };
    if let Some(says) = says {
        let finding = output.finding("body_date", Severity::Note, "json_date_key", "");
        findings.push(finding.says(says).write("json_date_key", "date"));
    }
    let epoch = output.known("json_date_format").is_some_and(|text| text.eq_ignore_ascii_case("epoch"));
    if epoch {
        findings.push(
            output
                .finding("body_date", Severity::Note, "json_date_format", "")
                .says("Whole seconds: equal lines of one second look alike, and short windows are blurred.")
                .write("json_date_format", "double"),
        );
    }
}

/// `body_key` with `headers_key`: one request per record, and the chunk has the fate of the last one's
/// (plugins/out_http/http.c). One of the two alone, and Fluent Bit does not start.
pub(super) fn per_record(_: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    let (body, headers) = (output.get("body_key"), output.get("headers_key"));
    let (entry, says) = match (body, headers) {
        (Some(body), Some(_)) => {
            (body, "One request per record, and the last one's answer stands for all: an earlier failure is lost.")
        }
        (Some(one), None) | (None, Some(one)) => {
            (one, "body_key and headers_key need each other: Fluent Bit does not start.")
        }
        (None, None) => return,
    };
    findings.push(output.about("body_per_record", Severity::Lost, entry).says(says).remove());
}

/// gzip, and from 4.0 on snappy and zstd; another name keeps Fluent Bit 4.0 and later from starting, and is ignored
/// before (plugins/out_http/http_conf.c). Costs were measured.
pub(super) fn compression(_: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    let Some(name) = output.known("compress").map(str::to_ascii_lowercase) else { return };
    let (severity, says) = match name.as_str() {
        "gzip" => (
            Severity::Note,
            "Costs about seven times the sender's CPU of plain; zstd (4.0 and later) is smaller and nearly free.",
        ),
        "snappy" | "zstd" => {
            (Severity::Note, "From 4.0 on; older releases (1.9.10 in aws-for-fluent-bit 2.x) ignore it and send plain.")
        }
        _ => (Severity::Lost, "Not known: Fluent Bit 4.0 and later do not start, older ones send plain."),
    };
    let finding = output.finding("body_compression", severity, "compress", "").says(says);
    findings.push(if matches!(name.as_str(), "snappy" | "zstd") { finding } else { finding.write("compress", "zstd") });
}

#[cfg(test)]
mod tests {
    use crate::fluent_bit::tests::rules;

    #[test]
    fn what_the_body_holds_is_judged() {
        for (keys, expected) in [
            ("", ""),
            (" Format json_lines\n", ""),
            (" Format MSGPACK\n", ""),
            (" Format gelf\n", "lost body_format"),
            (" Format gelf\n gelf_short_message_key log\n", "note body_format"),
            (" Format ndjson\n", "note body_format"),
            (" json_date_key false\n", "note body_date"),
            (" json_date_key source\n", "note body_date"),
            (" json_date_key mytime\n", "note body_date"),
            (" json_date_key @timestamp\n", ""),
            (" json_date_format epoch\n", "note body_date"),
            (" json_date_format iso8601\n", ""),
            (" body_key $a\n headers_key $b\n", "lost body_per_record"),
            (" body_key $a\n", "lost body_per_record"),
            (" compress gzip\n", "note body_compression"),
            (" compress zstd\n", "note body_compression"),
            (" compress brotli\n", "lost body_compression"),
        ] {
            let text = format!("[OUTPUT]\n Name http\n Match *\n URI /ingest\n{keys}");
            assert_eq!(rules(&text, "body_"), expected, "{keys}");
        }
    }
}
