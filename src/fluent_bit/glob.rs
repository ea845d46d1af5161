//! Patterns of tags: `*` stands for any text, also for none. Nothing else is special.

/// Longer patterns are compared by their beginning: nobody writes them, and comparing is quadratic.
const COMPARED_BYTES: usize = 128;

/// Whether `pattern` takes `text`.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    // A text without a star that overlaps a pattern is taken by it; one with a star cannot be a tag.
    overlap_bytes(cut(pattern), cut(text), false)
}

/// Whether some tag is taken by both patterns.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    overlap_bytes(cut(one), cut(other), true)
}

fn cut(text: &str) -> &[u8] {
    text.as_bytes().get(..COMPARED_BYTES).unwrap_or(text.as_bytes())
}

/// Row by row: whether the first `i` of `a` and the first `j` of `b` can stand for one text.
fn overlap_bytes(a: &[u8], b: &[u8], stars_in_b: bool) -> bool {
    let star = |byte: u8| stars_in_b && byte == b'*';
    let mut row: Vec<bool> = vec![true];
    for byte in b {
        let before = row.last().copied().unwrap_or(false);
        row.push(before && star(*byte));
    }
    for byte in a {
        let mut next: Vec<bool> = vec![row.first().copied().unwrap_or(false) && *byte == b'*'];
        for ((other, pair), above) in b.iter().zip(row.windows(2)).zip(row.iter().skip(1)) {
            let diagonal = pair.first().copied().unwrap_or(false);
            let left = next.last().copied().unwrap_or(false);
            next.push(match (*byte == b'*', star(*other)) {
                (false, false) => diagonal && byte == other,
                // A star takes nothing, or one more of the other side.
                (true, _) | (_, true) => *above || left,
            });
        }
        row = next;
    }
    row.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_patterns_overlap_if_one_tag_fits_both() {
        for (one, other, expected) in [
            ("*", "anything", true),
            ("*", "*", true),
            ("web-firelens*", "app-firelens*", false),
            ("*-firelens-*", "app-firelens*", true),
            ("*-firelens-*", "firelens-healthcheck", false),
            ("kube.*", "*.nginx", true),
            ("kube.*", "host.*", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("", "", true),
            ("", "*", true),
            ("a*b", "ab*", true),
            ("a*c", "ab", false),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
        assert!(matches("*.conf", "a.conf"));
        assert!(!matches("*.conf", "a.yaml"));
        assert!(!matches("a.conf", "*"));
    }
}
