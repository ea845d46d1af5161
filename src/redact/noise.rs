//! What steers a terminal or hides text: escape sequences, control characters but newline and tab, direction
//! overrides, invisible characters.

use std::sync::LazyLock;

use regex::Regex;

/// What is never sent. A whole escape sequence where there is one; one that is not finished on its
/// line loses only its start, or it could swallow the rest of a message.
pub(super) static NOISE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?:\x1b\[|\x{9b})[0-?]*[ -/]*[@-~]",
        r"|(?:\x1b[\]PX^_]|[\x{90}\x{98}\x{9d}-\x{9f}])[^\x07\x1b\x{9c}\n]*(?:\x07|\x1b\\|\x{9c})",
        r"|\x1b[ -/]*[0-~]|[\x00-\x08\x0b-\x1f\x7f-\x{9f}]",
        r"|[\x{ad}\x{34f}\x{61c}\x{115f}\x{1160}\x{17b4}\x{17b5}\x{180b}-\x{180f}\x{200b}-\x{200f}",
        r"\x{2028}-\x{202e}\x{2060}-\x{206f}\x{3164}\x{fe00}-\x{fe0f}\x{feff}\x{ffa0}",
        r"\x{fff0}-\x{fffb}\x{e0000}-\x{e0fff}]",
    ))
    .expect("the pattern is a constant, and tested")
});
