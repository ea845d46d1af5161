//! Filters before our outputs that drop what lines are known by, or copy them.

use super::super::finding::{Finding, Severity};
use super::super::section::{Entry, Kind, Section};
use super::super::{glob, values};
use super::{EMITTER, View, is_pushed};

fn reaches_us(view: &View<'_>, filter: &Section) -> bool {
    let pattern = filter.known("match").unwrap_or("*");
    view.ours.iter().any(|output| glob::overlap(pattern, output.known("match").unwrap_or("*")))
}

/// `parser` keeps only what it parsed, unless `Reserve_Data` is on (plugins/filter_parser/filter_parser.c).
pub(super) fn parser(view: &View<'_>, findings: &mut Vec<Finding>) {
    let pushed = view.is_fragment() || view.inputs.iter().any(|input| is_pushed(input) && !input.generated);
    let mut has_metadata = pushed;
    for filter in view.filters.iter().filter(|filter| reaches_us(view, filter)) {
        // What is added behind the parser stays.
        has_metadata |= ["kubernetes", "ecs", "record_modifier", "modify"].contains(&filter.name().as_str());
        if !filter.is("parser") {
            continue;
        }
        let keeps = match filter.get("reserve_data") {
            Some(entry) => entry.known().is_none_or(|text| values::boolean(text) == Some(true)),
            None => false,
        };
        if keeps {
            continue;
        }
        let severity = if has_metadata { Severity::Lost } else { Severity::Note };
        findings.push(
            filter
                .finding("filters_parser", severity, "Reserve_Data", "the default is off")
                .says("Every key but the parsed one is dropped, also those that say which service a line is from.")
                .write("Reserve_Data", "On"),
        );
    }
}

/// The inputs that `rewrite_tag` filters make: their tags, and whether they keep chunks on disk.
pub(in super::super) fn emitters(sections: &[Section]) -> Vec<Section> {
    let mut emitters = Vec::new();
    for filter in sections.iter().filter(|section| section.kind == Kind::Filter && section.is("rewrite_tag")) {
        for rule in filter.all("rule") {
            let (tag, _) = target(&rule.value);
            let mut emitter = Section::new(Kind::Input, &filter.file, filter.line);
            emitter.generated = true;
            emitter.entries =
                vec![Entry::new("Name", EMITTER, rule.line), Entry::new("Tag", &pattern_of(tag), rule.line)];
            if let Some(storage) = filter.get("emitter_storage.type") {
                emitter.entries.push(Entry::new("storage.type", &storage.value, storage.line));
            }
            emitters.push(emitter);
        }
    }
    emitters
}

/// The new tag of a rule, and its KEEP.
fn target(rule: &str) -> (&str, &str) {
    let mut words = rule.split_whitespace().rev();
    let keep = words.next().unwrap_or_default();
    (words.next().unwrap_or_default(), keep)
}

/// `rewrite_tag` with KEEP emits a second record under the new tag and keeps the first
/// (plugins/filter_rewrite_tag/rewrite_tag.c). That patterns could meet is not enough: an output for the new tags
/// takes an old one only if its Match covers those, or an input is known to send such a tag.
pub(super) fn copies(view: &View<'_>, findings: &mut Vec<Finding>) {
    for filter in view.filters.iter().filter(|filter| filter.is("rewrite_tag")) {
        for rule in filter.all("rule") {
            let (tag, keep) = target(&rule.value);
            if values::boolean(keep) != Some(true) {
                continue;
            }
            let (new, old) = (pattern_of(tag), filter.known("match").unwrap_or("*"));
            let takes_both = view.ours.iter().any(|output| {
                let Some(pattern) = output.known("match") else { return false };
                let tags = view.inputs.iter().filter(|input| !input.is(EMITTER)).filter_map(|input| input.known("tag"));
                let takes_old = glob::matches(pattern, old)
                    || tags.into_iter().any(|tag| glob::overlap(tag, old) && glob::matches(pattern, tag));
                takes_old && glob::overlap(pattern, &new)
            });
            if takes_both {
                findings.push(
                    filter
                        .about("filters_copies", Severity::Doubled, rule)
                        .says("KEEP true leaves the line under its old tag as well, and our output takes both: it is counted twice.")
                        .otherwise("Write false at the rule's end, or a Match that takes one of the two tags."),
                );
            }
        }
    }
}

/// A new tag is made of keys and captures; where those stand, anything may.
fn pattern_of(tag: &str) -> String {
    let mut pattern = String::new();
    let mut parts = tag.split('$');
    pattern.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let fixed = part.find('.').and_then(|at| part.get(at..)).unwrap_or_default();
        // `$kubernetes['labels'].x` and `$1.x`: what follows a point is taken as fixed text only if it looks so.
        let fixed = if fixed.contains(['[', '\'']) { "" } else { fixed };
        pattern.push('*');
        pattern.push_str(fixed);
    }
    pattern
}

/// `throttle` drops by rate: counts no longer say how often something happened. `multiline` holds lines back, and
/// its last buffer can be lost when Fluent Bit stops.
pub(super) fn drops(view: &View<'_>, findings: &mut Vec<Finding>) {
    for filter in view.filters.iter().filter(|filter| filter.is("throttle") && reaches_us(view, filter)) {
        findings.push(
            Finding::new("filters_drops", Severity::Note, filter.place(), filter.label(), "")
                .says("Drops lines above its rate, in a burst of errors as well: thresholds count what is left."),
        );
    }
    for filter in view.filters.iter().filter(|filter| filter.is("multiline") && reaches_us(view, filter)) {
        findings.push(
            Finding::new("filters_drops", Severity::Note, filter.place(), filter.label(), "")
                .says("Holds lines back until the next begins; the last ones can be lost when Fluent Bit stops."),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fluent_bit::tests::rules;

    #[test]
    fn filters_that_drop_or_copy_are_told() {
        let forward = "[INPUT]\n Name forward\n";
        let tail = "[INPUT]\n Name tail\n Tag app.log\n";
        let kubernetes = "[INPUT]\n Name tail\n[FILTER]\n Name kubernetes\n Match *\n";
        for (before, filter, expected) in [
            (kubernetes, "[FILTER]\n Name parser\n Match *\n", "lost filters_parser"),
            (tail, "[FILTER]\n Name parser\n Match *\n[FILTER]\n Name kubernetes\n Match *\n", "note filters_parser"),
            (tail, "[FILTER]\n Name rewrite_tag\n Match *-firelens-*\n Rule $log . app.$TAG true\n", ""),
            ("", "[FILTER]\n Name rewrite_tag\n Match app.*\n Rule $log . app.e.$TAG true\n", "doubled filters_copies"),
            (forward, "[FILTER]\n Name parser\n Match *\n Key_Name log\n", "lost filters_parser"),
            (forward, "[FILTER]\n Name parser\n Match *\n Reserve_Data On\n", ""),
            (forward, "[FILTER]\n Name parser\n Match other.*\n", ""),
            (tail, "[FILTER]\n Name parser\n Match *\n", "note filters_parser"),
            (tail, "[FILTER]\n Name rewrite_tag\n Match *\n Rule $log ERR app.error true\n", "doubled filters_copies"),
            (tail, "[FILTER]\n Name rewrite_tag\n Match *\n Rule $log ERR app.error false\n", ""),
            (tail, "[FILTER]\n Name rewrite_tag\n Match *\n Rule $log ERR other.error true\n", ""),
            (tail, "[FILTER]\n Name throttle\n Match *\n", "note filters_drops"),
            (tail, "[FILTER]\n Name multiline\n Match *\n", "note filters_drops"),
            (tail, "[FILTER]\n Name grep\n Match *\n", ""),
        ] {
            let text = format!("{before}{filter}[OUTPUT]\n Name http\n Match app.*\n URI /ingest\n");
            assert_eq!(rules(&text, "filters_"), expected, "{filter}");
        }
    }

    #[test]
    fn a_made_up_tag_is_a_pattern() {
        for (tag, expected) in [("a.b", "a.b"), ("$TAG.x", "*.x"), ("a.$log['x.y']", "a.*"), ("$1-$2", "**")] {
            assert_eq!(pattern_of(tag), expected);
        }
    }
}
