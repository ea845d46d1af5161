//! Which outputs send to us, where, and which tags they take.

use super::super::finding::{Finding, Mend, Place, Severity};
use super::super::section::Section;
use super::super::values;
use super::super::{Receiver, glob};
use super::View;

/// Where the receiver takes logs.
const PATH: &str = "/ingest";

/// An `http` output that names our path, or our port.
pub(super) fn is_ours(output: &Section, receiver: &Receiver) -> bool {
    output.is("http") && (is_our_path(path_of(output)) || port_of(output) == Some(receiver.listen.port()))
}

fn path_of(output: &Section) -> &str {
    let uri = output.get("uri").map_or("/", |entry| entry.value.as_str());
    uri.split(['?', '#']).next().unwrap_or_default()
}

fn is_our_path(path: &str) -> bool {
    path.strip_prefix('/').unwrap_or(path).trim_end_matches('/').ends_with(PATH.trim_start_matches('/'))
}

/// 80 unless said; `None`: only Fluent Bit's environment knows.
pub(super) fn port_of(output: &Section) -> Option<u16> {
    match output.get("port") {
        Some(entry) => u16::try_from(values::leading(entry.known()?)).ok(),
        None => Some(80),
    }
}

/// Nothing sends here: which outputs there are, and why none of them is ours.
pub(super) fn nobody(view: &View<'_>, findings: &mut Vec<Finding>) {
    let place = |section: Option<&&Section>| match section {
        Some(section) => section.place(),
        None => Place {
            file: view.configuration.sections.first().map_or_else(|| "".into(), |section| section.file.clone()),
            line: 0,
        },
    };
    let port = view.receiver.listen.port();
    for output in view.others.iter().filter(|output| output.is("http")) {
        findings.push(Finding::new("routing_nobody", Severity::Note, output.place(), output.label(), "").says(
            format!("Not taken for one of ours: its URI is not {PATH} and its Port is not {port} (server.listen)."),
        ));
    }
    if let Some(forward) = view.others.iter().find(|output| output.is("forward")) {
        findings.push(
            Finding::new("routing_nobody", Severity::Note, forward.place(), forward.label(), "")
                .says("Forwards to another Fluent Bit, and that one's configuration says what becomes of the lines: check it, too."),
        );
        return;
    }
    if let Some(file) = view.configuration.firelens.as_ref().and_then(|firelens| firelens.file.as_deref()) {
        let found = super::super::finding::shown(file);
        findings.push(
            Finding::new("routing_nobody", Severity::Note, place(None), "firelensConfiguration", found)
                .says("No option sends here; the outputs may be in that file: check it, too."),
        );
        return;
    }
    let host = view.receiver.listen.ip();
    findings.push(
        Finding::new(
            "routing_nobody",
            Severity::Lost,
            place(view.others.first()),
            "[OUTPUT]",
            "no http output sends here",
        )
        .says("Nothing of what this Fluent Bit reads reaches the receiver.")
        .write("Name", "http")
        .write("Match", "*")
        .write("Host", host.to_string())
        .write("Port", port.to_string())
        .write("URI", PATH)
        .write("Format", "json_lines")
        .write("Retry_Limit", "1"),
    );
}

/// Any other path is answered 404: dropped by 3.1 and later, retried in vain by older ones (plugins/out_http/http.c).
pub(super) fn path(_: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    if output.get("uri").is_some_and(|entry| entry.known().is_none()) {
        return;
    }
    let path = path_of(output);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    if path == PATH {
        return;
    }
    if is_our_path(&path) {
        findings.push(
            output
                .finding("routing_path", Severity::Note, "URI", "")
                .says(format!("Right only if something in between makes {PATH} of it; the receiver answers 404 to it."))
                .write("URI", PATH),
        );
        return;
    }
    findings.push(
        output
            .finding("routing_path", Severity::Lost, "URI", "the default is /")
            .says("Answered 404: Fluent Bit 3.1 and later drop every chunk at once, older ones after their retries.")
            .write("URI", PATH),
    );
}

/// Without `Match` an output gets nothing, unless it is the only one of a single input (src/flb_router.c).
pub(super) fn match_missing(view: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    let alone = view.inputs.len() == 1 && view.ours.len() == 1 && view.others.is_empty();
    let routed = view.inputs.iter().any(|input| input.has("routes"));
    if output.has("match") || output.has("match_regex") || alone || routed {
        return;
    }
    findings.push(
        output
            .finding("routing_match_missing", Severity::Lost, "Match", "")
            .says("An output without Match gets no line; Fluent Bit only warns.")
            .write("Match", "*"),
    );
}

/// In a file for FireLens `*` also takes the records of FireLens's own health check (tag `firelens-healthcheck`).
pub(super) fn takes_health_checks(view: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    let mentions = |section: &Section| {
        section.entries.iter().any(|entry| entry.key.starts_with("match") && entry.value.contains("-firelens"))
    };
    let is_for_firelens = !view.is_firelens() && view.configuration.sections.iter().any(mentions);
    if is_for_firelens && output.known("match") == Some("*") {
        findings.push(
            output
                .finding("routing_takes_health_checks", Severity::Note, "Match", "")
                .says("With FireLens this also takes the health check's records, which belong to no container.")
                .write("Match", "*-firelens-*"),
        );
    }
}

/// Two outputs that send the same line here: the second copy is no repeat, its chunk is another one.
pub(super) fn counted_twice(view: &View<'_>, findings: &mut Vec<Finding>) {
    for (position, first) in view.ours.iter().enumerate() {
        for second in view.ours.iter().skip(position + 1) {
            let same =
                |key| first.known(key).unwrap_or_default().eq_ignore_ascii_case(second.known(key).unwrap_or_default());
            let overlap = match (first.known("match"), second.known("match")) {
                (Some(one), Some(other)) => glob::overlap(one, other),
                _ => first.has("match_regex") && second.has("match_regex") && same("match_regex"),
            };
            if !overlap || !same("host") || port_of(first) != port_of(second) {
                continue;
            }
            let mut finding = second
                .finding("routing_counted_twice", Severity::Doubled, "Match", "")
                .says(format!("The output at {} takes these lines, too: each is counted twice.", first.place()));
            finding.mends.push(Mend::Otherwise(
                "Keep one of the two outputs, or give them tags that do not overlap.".to_owned(),
            ));
            findings.push(finding);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fluent_bit::tests::{rules, rules_of};

    #[test]
    fn where_an_output_sends_and_what_it_takes_is_judged() {
        let http = "[OUTPUT]\n Name http\n Port 8080\n";
        for (text, expected) in [
            (format!("{http} Match *\n URI /ingest\n"), ""),
            (format!("{http} Match *\n URI ingest?x=1\n"), ""),
            (format!("{http} Match *\n URI ${{URI}}\n"), ""),
            (format!("{http} Match *\n"), "lost routing_path"),
            (format!("{http} Match *\n URI /\n"), "lost routing_path"),
            (format!("{http} Match *\n URI /logs/ingest\n"), "note routing_path"),
            (format!("{http} URI /ingest\n"), "lost routing_match_missing"),
            (format!("[INPUT]\n Name tail\n{http} URI /ingest\n"), ""),
            (format!("{http} URI /ingest\n Match_Regex .*\n"), ""),
            (
                format!("{http} Match *\n URI /ingest\n[FILTER]\n Name grep\n Match web-firelens*\n"),
                "note routing_takes_health_checks",
            ),
            (format!("{http} Match a.*\n URI /ingest\n{http} Match b.*\n URI /ingest\n"), ""),
            (
                format!("{http} Match a.*\n URI /ingest\n{http} Match *\n URI /ingest\n"),
                "doubled routing_counted_twice",
            ),
            (format!("{http} Match *\n URI /ingest\n{http} Match *\n Host other\n URI /ingest\n"), ""),
            ("[OUTPUT]\n Name es\n Match *\n".to_owned(), "lost routing_nobody"),
            (
                "[OUTPUT]\n Name http\n Match *\n Port 9\n URI /x\n".to_owned(),
                "note routing_nobody, lost routing_nobody",
            ),
            ("[OUTPUT]\n Name forward\n Match *\n".to_owned(), "note routing_nobody"),
        ] {
            assert_eq!(rules(&text, "routing_"), expected, "{text}");
        }
    }

    #[test]
    fn a_task_definition_with_a_file_of_its_own_is_not_called_silent() {
        let text = r#"{"firelensConfiguration": {"type": "fluentbit", "options": {"config-file-value": "/e.conf"}}}"#;
        assert_eq!(rules_of("t.json", text, "routing_"), "note routing_nobody");
    }
}
