//! What a function is called in its source, out of what a trace calls it.
//!
//! Compilers and runtimes add packages, classes, receivers, closures, state machines and hashes; none of that stands
//! in the source as such.

use super::frame::Language;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// `None`: it has no name of its own, such as a module's top level.
    pub function: Option<String>,
    /// What stands before it: package and class, module, crate. Outermost first.
    pub qualifiers: Vec<String>,
}

/// Names taken out of one qualified name; of more the outermost go.
const PARTS_MAX: usize = 24;

pub fn of(function: &str, language: Language) -> Named {
    match language {
        Language::Python => Named { function: word(function), qualifiers: Vec::new() },
        Language::Ruby => ruby(function),
        Language::Java | Language::Kotlin => java(function),
        Language::Script => script(function),
        Language::Go => go(function),
        Language::Rust => rust(function),
        Language::Php => php(function),
        Language::Dotnet => dotnet(function),
    }
}

fn word(text: &str) -> Option<String> {
    let ok = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '?' | '!');
    (!text.is_empty() && text.chars().all(ok) && !text.starts_with(|c: char| c.is_ascii_digit()))
        .then(|| text.to_owned())
}

fn parts(text: &str, separators: &[&str]) -> Vec<String> {
    let mut parts = vec![text];
    for separator in separators {
        parts = parts.into_iter().flat_map(|part| part.split(separator)).collect();
    }
    let skipped = parts.len().saturating_sub(PARTS_MAX);
    parts.into_iter().skip(skipped).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The last part that is a word, and those before it.
fn last(mut parts: Vec<String>) -> Named {
    while let Some(part) = parts.pop() {
        if let Some(function) = word(&part) {
            return Named { function: Some(function), qualifiers: parts };
        }
    }
    Named::default()
}

fn ruby(function: &str) -> Named {
    let name = function.rsplit_once(" in ").map_or(function, |(_, name)| name);
    if name.starts_with('<') {
        return Named::default();
    }
    last(parts(name, &["#", ".", "::"]))
}

fn java(function: &str) -> Named {
    // A module or class loader stands before a slash.
    let name = function.rsplit_once('/').map_or(function, |(_, name)| name);
    let mut parts = parts(name, &["."]);
    let Some(method) = parts.pop() else { return Named::default() };
    let class = parts.last().cloned().unwrap_or_default();
    let inner = class.split('$').next_back().unwrap_or_default();
    let function = match method.as_str() {
        "<init>" => word(inner),
        "<clinit>" => None,
        // A coroutine or a function object: `Jobs$run$1`.
        "invoke" | "invokeSuspend" | "resumeWith" if class.contains('$') => {
            let named = |part: &&str| !part.is_empty() && !part.bytes().all(|b| b.is_ascii_digit());
            class.split('$').skip(1).filter(named).last().and_then(word)
        }
        method => match method.strip_prefix("lambda$") {
            Some(rest) => rest.split('$').next().and_then(word),
            None => word(method.split(['$', '-']).next().unwrap_or(method)),
        },
    };
    Named { function, qualifiers: parts }
}

fn script(function: &str) -> Named {
    let name = function.split(" [as ").next().unwrap_or(function);
    if let Some(class) = name.strip_prefix("new ") {
        return Named { function: Some("constructor".to_owned()), qualifiers: parts(class, &["."]) };
    }
    let name = name.strip_prefix("async ").unwrap_or(name);
    if name.ends_with("<anonymous>") {
        return Named::default();
    }
    let mut parts = parts(name, &["."]);
    if let Some(private) = parts.last_mut() {
        *private = private.trim_start_matches('#').to_owned();
    }
    last(parts)
}

fn go(function: &str) -> Named {
    let bare = without(function, '[', ']');
    let bare = bare.replace("(*", "").replace(')', "");
    let mut parts = parts(&bare, &["/", "."]);
    let is_closure = |part: &String| {
        let digits = part.strip_prefix("func").or_else(|| part.strip_prefix("gowrap")).unwrap_or(part);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    while parts.last().is_some_and(is_closure) {
        parts.pop();
    }
    if let Some(method) = parts.last_mut()
        && let Some(value) = method.strip_suffix("-fm")
    {
        *method = value.to_owned();
    }
    last(parts)
}

fn rust(function: &str) -> Named {
    // `<shop::Cart as shop::Total>::total`: the type stands for its path.
    let open = function.strip_prefix('<').and_then(|rest| rest.split_once(" as ").or_else(|| rest.split_once(">::")));
    let head = open.map_or("", |(kind, _)| kind);
    let bare = format!("{head}::{}", without(function, '<', '>'));
    let mut parts = parts(&bare, &["::"]);
    let is_added = |part: &String| {
        let hash = part.len() == 17 && part.starts_with('h') && part.bytes().skip(1).all(|b| b.is_ascii_hexdigit());
        hash || part.starts_with('{') || part.starts_with('[')
    };
    while parts.last().is_some_and(is_added) {
        parts.pop();
    }
    last(parts)
}

fn php(function: &str) -> Named {
    // Since 8.4 a closure says where it stands: `{closure:App\Cart::total():12}`.
    if let Some((_, within)) = function.split_once("{closure:") {
        return last(parts(within.split('(').next().unwrap_or_default(), &["\\", "::", "->"]));
    }
    if function.ends_with("{closure}") {
        return Named::default();
    }
    last(parts(function, &["\\", "::", "->"]))
}

fn dotnet(function: &str) -> Named {
    // `<CloseAsync>d__5.MoveNext`, `<>c.<Close>b__0`: the name in the last pair of angles that is not empty.
    let angled = function.rmatch_indices('<').find_map(|(at, _)| {
        let (name, _) = function.get(at + 1..)?.split_once('>')?;
        Some((at, word(name)?))
    });
    if let Some((at, name)) = angled {
        let before = function.get(..at).unwrap_or_default();
        let mut qualifiers = parts(before, &[".", "+"]);
        qualifiers.retain(|part| word(part).is_some());
        return Named { function: Some(name), qualifiers };
    }
    let bare = without(function, '[', ']');
    let mut parts = parts(&bare, &[".", "+"]);
    for part in &mut parts {
        if let Some((name, _)) = part.split_once('`') {
            *part = name.to_owned();
        }
    }
    if matches!(parts.last().map(String::as_str), Some("ctor" | "cctor")) {
        parts.pop();
        let class = parts.last().cloned();
        return Named { function: class, qualifiers: parts };
    }
    last(parts)
}

/// The text without what stands between two brackets, nested or not.
fn without(text: &str, open: char, close: char) -> String {
    let mut depth = 0_usize;
    let mut bare = String::new();
    for c in text.chars() {
        if c == open {
            depth += 1;
        } else if c == close && depth > 0 {
            depth -= 1;
        } else if depth == 0 {
            bare.push(c);
        }
    }
    bare
}
