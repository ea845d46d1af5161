//! The words whose value is a secret, and what may stand between such a word and its value.

/// Names whose value is a secret. No word boundary in front: `DB_PASSWORD` and `userPassword`
/// count, and so does a name that a removed NUL has glued to the word before it. Only what is
/// short enough to be the end of an ordinary word has one.
macro_rules! names {
    () => {
        concat!(
            r"(?:(?:pass(?:word|wd|phrase|code)|pwd|[_-]pass|secret|credentials?|private[_.-]?key",
            r"|(?:api|app|application|access|account|master|signing|encryption|consumer|auth|shared|subscription|client|license)[ _.-]?key",
            r"|(?:access|refresh|auth|session|api|bearer|csrf|xsrf|bot)[ _.-]?token|[a-z0-9][_-]token",
            r"|(?-i:[a-z]Token)|[jp](?:hp)?sess(?:ion)?id",
            r"|(?:recovery|backup|verification|one[ _.-]?time|auth(?:orization)?)[ _.-]?code",
            r"|(?:(?-u:\b)|_|\\[nrt])(?:cvv|cvc|ssn|otp|pin))",
            r"(?:[_.-]?(?:access[_.-]?key|key[_.-]?base|key|hash|confirm(?:ation)?|value|text))?",
            r"[0-9]{0,2})"
        )
    };
}

/// From the end of a name to the start of its value: the closing quote of a quoted name, then the
/// separator, also as URLs and Go's JSON encoder write it.
macro_rules! sep {
    () => {
        r#"\\*["']?[ \t]*(?:={1,3}>?|:=?|%3[ad]|\\u003[ad])"#
    };
}

/// The same for headers, which are also printed as pairs: `("cookie", "a=b")`.
macro_rules! header_sep {
    () => {
        concat!("(?:", sep!(), r#"|\\*["'],)"#)
    };
}

/// No letter or digit in front, unless they are an escape's own.
macro_rules! front {
    () => {
        r"(?:^|[^A-Za-z0-9]|\\[nrtbf]|%[0-9A-Fa-f]{2})"
    };
}

pub(super) use {front, header_sep, names, sep};
