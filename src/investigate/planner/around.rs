//! What a dossier says beside the log: the deploy before it, and where it fails.

use jiff::Timestamp;

use super::super::dossier::reading::{Dossier, Logged};
use super::super::verdict::Evidence;

/// A deploy longer ago has proven itself, as far as a minute's figures can tell.
const JUST_BEFORE_MS: i64 = 30 * 60_000;

pub(super) struct Deploy<'t> {
    /// The line that tells of it.
    line: &'t str,
    commit: Option<&'t str>,
    before: Option<&'t str>,
    pub(super) is_just_before: bool,
}

/// The function that failed.
pub(super) struct Place {
    /// `shop/prices.py:20 in price_of`
    pub(super) title: String,
    /// The line of it, as it stands in its file.
    line: Option<String>,
    /// The last deploy changed its file.
    pub(super) is_changed: bool,
}

/// A deploy that was told of, or else a revision that appeared.
pub(super) fn deploy<'t>(dossier: &Dossier<'t>) -> Option<Deploy<'t>> {
    let first_ms = millis(dossier.part("What crossed")?.value("first")?)?;
    let is_just_before = |at_ms: i64| (0..JUST_BEFORE_MS).contains(&(first_ms - at_ms));
    let source = dossier.part("Its source");
    let value = |name| source.and_then(|part| part.value(name));
    let told = value("known by").and_then(|line| {
        let at = line.strip_prefix("a deploy told of at ")?.split(',').next()?;
        Some((line, millis(at)?))
    });
    let revisions = dossier.part("The service").into_iter().flat_map(|part| part.lines());
    let revisions: Vec<_> = revisions.filter_map(|line| line.strip_prefix("revision ")).map(str::trim).collect();
    let appeared = revisions.get(1..).and_then(|later| later.last()).and_then(|line| {
        let (_, at) = line.split_once(", in records from ")?;
        Some((*line, millis(at.strip_suffix(" on")?)?))
    });
    let (line, at_ms) = told.or(appeared)?;
    Some(Deploy { line, commit: value("commit"), before: value("before"), is_just_before: is_just_before(at_ms) })
}

fn millis(at: &str) -> Option<i64> {
    Some(at.parse::<Timestamp>().ok()?.as_millisecond())
}

/// Where its source is at hand.
pub(super) fn place(dossier: &Dossier<'_>) -> Option<Place> {
    let part = dossier.part("Where it failed")?;
    // Without any function the only block lists frames that lead nowhere.
    part.words.iter().find(|words| words.starts_with("The functions that its traces lead to"))?;
    let title = part.blocks.first()?.first()?;
    let shown = part.blocks.iter().skip(1).find(|block| block.first() == Some(title));
    let line = shown.and_then(|block| {
        let marked = block.iter().find_map(|line| line.strip_prefix("> "))?.trim_start();
        Some(marked.split_once("  ")?.1.trim().to_owned())
    });
    let path = title.split(" in ").next()?.rsplit_once(':').map_or(*title, |(path, _)| path);
    let changed = dossier.part("What the last deploy changed");
    let is_changed = changed.is_some_and(|part| {
        part.lines().any(|line| line.starts_with("* ") && line.trim_end().ends_with(&format!(" {path}")))
    });
    Some(Place { title: (*title).to_owned(), line, is_changed })
}

/// Where the first trace that was counted says so itself.
pub(super) fn framed(logged: &[Logged<'_>]) -> Option<Place> {
    let mut frames = logged.iter().filter(|line| line.is_counted).filter_map(|line| {
        let first = line.text("frames").split(" < ").next()?;
        (!first.is_empty() && line.record.contains(first)).then(|| first.to_owned())
    });
    Some(Place { title: frames.next()?, line: None, is_changed: false })
}

impl Deploy<'_> {
    pub(super) fn evidence(&self) -> Evidence {
        Evidence { path: None, line: None, quote: self.line.to_owned(), says: "When what runs was deployed.".into() }
    }

    pub(super) fn step(&self) -> String {
        let short = |hash: &str| hash.chars().take(12).filter(char::is_ascii_hexdigit).collect::<String>();
        match (self.commit, self.before) {
            (Some(commit), Some(before)) => {
                format!("Consider going back from `{}` to `{}`, what ran before.", short(commit), short(before))
            }
            _ => "Consider going back to what ran before.".into(),
        }
    }
}

impl Place {
    pub(super) fn evidence(&self) -> Evidence {
        let (quote, says) = match &self.line {
            Some(text) if !text.is_empty() => (text, format!("The line that failed, {}.", self.title)),
            _ => (&self.title, "Where it failed.".into()),
        };
        Evidence { path: None, line: None, quote: quote.clone(), says }
    }
}
