//! One frame of a stack trace, as far as it tells which file of a repository it speaks of.
//!
//! A frame is log text: whoever makes the application log a string writes it. It is taken apart here into names
//! that are compared with the names in a tree, and is never a path that anything opens.

use super::names;

/// Longest frame that is looked at; a longer one names no file of anybody's.
const FRAME_MAX: usize = 1000;
/// Folders of a path that are compared, the innermost.
const PARTS_MAX: usize = 32;

/// How the code of a file is read. By the file's ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Python,
    Ruby,
    Java,
    /// Kotlin, Scala, Groovy: named by `fun` or `def`.
    Kotlin,
    Script,
    Go,
    Rust,
    Php,
    Dotnet,
}

/// A frame, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Folders and name of the file, outermost first; never empty, and no part is `.` or `..`.
    pub parts: Vec<String>,
    /// The name alone is known, without its ending: what a trace without files says of a class.
    pub is_class: bool,
    /// From 1; `None`: not told.
    pub line: Option<u32>,
    /// The function's own name, without class, package and what a compiler adds; `None`: it has none.
    pub function: Option<String>,
    /// Words of its place that tell equal names apart: crate, module, class.
    pub context: Vec<String>,
    /// `None` only for a class.
    pub language: Option<Language>,
}

impl Language {
    pub fn of(name: &str) -> Option<Language> {
        let (_, ending) = name.rsplit_once('.')?;
        Some(match ending {
            "py" | "pyx" => Language::Python,
            "rb" | "rake" => Language::Ruby,
            "java" => Language::Java,
            "kt" | "kts" | "scala" | "groovy" => Language::Kotlin,
            "js" | "mjs" | "cjs" | "jsx" | "ts" | "mts" | "cts" | "tsx" | "vue" | "svelte" => Language::Script,
            "go" => Language::Go,
            "rs" => Language::Rust,
            "php" => Language::Php,
            "cs" => Language::Dotnet,
            _ => return None,
        })
    }
}

impl Frame {
    /// Of `app/db.py:42 in connect`, `app/db.py:42`, or a qualified name alone. `None`: no file of source code could
    /// be meant.
    pub fn read(text: &str) -> Option<Frame> {
        if text.len() > FRAME_MAX {
            return None;
        }
        let Some((place, line, function)) = split(text) else { return class(text) };
        let mut parts = parts(place);
        let language = Language::of(parts.last()?)?;
        let named = names::of(function, language);
        if language == Language::Java || language == Language::Kotlin {
            // The trace names the file only; its folders are the package.
            let package = named.qualifiers.iter().take_while(|q| q.starts_with(|c: char| c.is_ascii_lowercase()));
            let file = parts.pop()?;
            parts = package.cloned().chain([file]).collect();
        }
        let surplus = parts.len().saturating_sub(PARTS_MAX);
        parts.drain(..surplus);
        Some(Frame {
            parts,
            is_class: false,
            line: Some(line),
            function: named.function,
            context: named.qualifiers,
            language: Some(language),
        })
    }
}

/// Place, line and function. A function may hold " in ", and a path too: the first one behind a line counts.
fn split(text: &str) -> Option<(&str, u32, &str)> {
    let ends = text.match_indices(" in ").map(|(at, _)| at).chain([text.len()]);
    for end in ends {
        let (place, rest) = text.split_at(end);
        if let Some((file, line)) = place.rsplit_once(':')
            && let Ok(line) = line.parse::<u32>()
            && !file.is_empty()
        {
            return Some((file, line, rest.strip_prefix(" in ").unwrap_or(rest)));
        }
    }
    None
}

/// `App.Pay.Close`: the file is called as the class is.
fn class(text: &str) -> Option<Frame> {
    let language = Language::Dotnet;
    if text.contains(['/', ' ', ':']) || !text.contains('.') {
        return None;
    }
    let named = names::of(text, language);
    let class = named.qualifiers.last().filter(|class| class.starts_with(|c: char| c.is_uppercase()))?.clone();
    Some(Frame {
        parts: vec![class],
        is_class: true,
        line: None,
        function: named.function,
        context: named.qualifiers,
        language: None,
    })
}

fn parts(place: &str) -> Vec<String> {
    let place = place.split_once("://").map_or(place, |(_, path)| path);
    let place = place.split('?').next().unwrap_or_default();
    let mut parts: Vec<String> = Vec::new();
    for part in place.split(['/', '\\']) {
        match part {
            "" | "." => {}
            // What it leads out of is not known: what follows is.
            ".." => parts.clear(),
            drive if drive.len() == 2 && drive.ends_with(':') => {}
            part => parts.push(part.to_owned()),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_taken_apart_in_every_language() {
        for (text, parts, line, function) in [
            ("/app/shop/db.py:42 in connect", "app/shop/db.py", Some(42), Some("connect")),
            ("/app/shop/db.py:42 in <lambda>", "app/shop/db.py", Some(42), None),
            (
                "Settlement.java:142 in com.example.pay.Settlement.close",
                "com/example/pay/Settlement.java",
                Some(142),
                Some("close"),
            ),
            ("Cart.java:9 in app//com.acme.Cart.<init>", "com/acme/Cart.java", Some(9), Some("Cart")),
            ("Cart.java:9 in com.acme.Cart.lambda$total$0", "com/acme/Cart.java", Some(9), Some("total")),
            ("Jobs.kt:9 in com.acme.Jobs$run$1.invokeSuspend", "com/acme/Jobs.kt", Some(9), Some("run")),
            (
                "/app/dist/orders/service.js:64 in OrderService.reserve",
                "app/dist/orders/service.js",
                Some(64),
                Some("reserve"),
            ),
            ("file:///app/a.mjs?v=1:3 in async handler", "app/a.mjs", Some(3), Some("handler")),
            ("/app/a.js:3 in Object.<anonymous>", "app/a.js", Some(3), None),
            ("/app/a.js:3 in new Cart", "app/a.js", Some(3), Some("constructor")),
            ("/app/a.js:3 in Cart.sum [as total]", "app/a.js", Some(3), Some("sum")),
            (
                "/src/store/store.go:5 in github.com/acme/shop/store.(*Store).Get.func1",
                "src/store/store.go",
                Some(5),
                Some("Get"),
            ),
            ("/src/a.go:5 in main.(*I).S", "src/a.go", Some(5), Some("S")),
            (
                "./src/ledger.rs:42 in pay::ledger::post::{{closure}}::h0123456789abcdef",
                "src/ledger.rs",
                Some(42),
                Some("post"),
            ),
            ("src/cart.rs:4 in <shop::cart::Cart as shop::Total>::total", "src/cart.rs", Some(4), Some("total")),
            ("src/main.rs:4", "src/main.rs", Some(4), None),
            ("/app/models/order.rb:12 in block in Order#total", "app/models/order.rb", Some(12), Some("total")),
            ("app.rb:1 in <main>", "app.rb", Some(1), None),
            ("/var/www/html/src/Cart.php:33 in App\\Cart->total", "var/www/html/src/Cart.php", Some(33), Some("total")),
            ("/src/Cart.php:33 in App\\Cart::{closure}", "src/Cart.php", Some(33), None),
            ("C:\\src\\Pay.cs:36 in App.Pay.<CloseAsync>d__5.MoveNext", "src/Pay.cs", Some(36), Some("CloseAsync")),
            ("/src/Pay.cs:36 in App.Pay..ctor", "src/Pay.cs", Some(36), Some("Pay")),
            ("/src/Pay.cs:36 in App.Pay.<>c__DisplayClass0_0.<Close>b__0", "src/Pay.cs", Some(36), Some("Close")),
            ("App.Pay.Close", "Pay", None, Some("Close")),
            ("../../etc/x.py:1 in f", "etc/x.py", Some(1), Some("f")),
            ("/app/../../secret/x.py:1", "secret/x.py", Some(1), None),
        ] {
            let frame = Frame::read(text).expect(text);
            let seen = (frame.parts.join("/"), frame.line, frame.function.as_deref());
            assert_eq!(seen, (parts.to_owned(), line, function), "{text}");
        }
    }

    #[test]
    fn what_is_no_source_file_is_none() {
        for text in [
            "",
            "x",
            "/etc/passwd:1 in f",
            "a.py",
            "a.py:x",
            ":3",
            "/:1 in x",
            "..:1",
            &"a/".repeat(600),
            "--upload-pack=x:1",
        ] {
            assert_eq!(Frame::read(text), None, "{text}");
        }
    }
}
