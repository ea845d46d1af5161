//! Headers that an output sets.

use super::super::finding::{Finding, Severity};
use super::super::section::{Entry, Section};
use super::View;

/// What `Header NAME value` does to a receiver that tells repeats from news, and bodies by their encoding.
pub(super) fn set_by_hand(_: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    for entry in output.all("header") {
        let (name, value) = entry.words();
        let found = |severity, says: &str| output.about("headers_set_by_hand", severity, entry).says(says).remove();
        match name.to_ascii_lowercase().as_str() {
            "accept" => findings.push(found(
                Severity::Doubled,
                "Fluent Bit sends no Accept of its own; who does is taken for a person, and a chunk that comes again counts again.",
            )),
            // The body's own header is written first, and the first one counts.
            "content-encoding" if !output.has("compress") && !value.eq_ignore_ascii_case("identity") => findings.push(found(
                Severity::Lost,
                "The body is plain and says that it is not: nothing in it can be read.",
            ).write("compress", "zstd")),
            "x-forwarded-for" | "forwarded" | "via" => findings.push(found(
                Severity::Note,
                "Looks like a balancer that pools connections: answers are not confirmed, so repeats are recognised less well.",
            )),
            _ => {}
        }
    }
}

/// The tag is in no record; on EC2 it is the only place with the container's true name (`header_tag` in
/// plugins/out_http/http.c).
pub(super) fn tag(view: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    let wanted = &view.receiver.tag_header;
    let says = match output.get("header_tag").map(Entry::known) {
        None => "The tag does not come along; with FireLens on EC2 only it has the container's name.".to_owned(),
        Some(Some(name)) if !name.eq_ignore_ascii_case(wanted) => {
            format!("The receiver reads the tag from {wanted} (ingest.tag_header).")
        }
        Some(_) => return,
    };
    findings.push(
        output.finding("headers_tag", Severity::Note, "header_tag", "").says(says).write("header_tag", wanted.as_str()),
    );
}

#[cfg(test)]
mod tests {
    use crate::fluent_bit::tests::rules;

    #[test]
    fn headers_are_judged_by_what_they_make_of_a_request() {
        for (keys, expected) in [
            (" header_tag x-tag\n", ""),
            ("", "note headers_tag"),
            (" header_tag X-Fluent-Tag\n", "note headers_tag"),
            (" header_tag X-Tag\n Header Accept application/json\n", "doubled headers_set_by_hand"),
            (" header_tag X-Tag\n Header Content-Type application/json\n", ""),
            (" header_tag X-Tag\n Header Content-Encoding gzip\n", "lost headers_set_by_hand"),
            (" header_tag X-Tag\n Header Content-Encoding gzip\n compress gzip\n", ""),
            (" header_tag X-Tag\n Header Via x\n", "note headers_set_by_hand"),
        ] {
            let text = format!("[OUTPUT]\n Name http\n Match *\n URI /ingest\n{keys}");
            assert_eq!(rules(&text, "headers_"), expected, "{keys}");
        }
    }
}
