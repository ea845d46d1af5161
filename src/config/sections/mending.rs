//! The keys of `[investigation]` that say how a mend is tried and proposed.

use crate::config::Mending;
use crate::config::defaults as d;
use crate::config::reader::Section;
use crate::config::text::{self, URL_FORM};
use crate::investigate::patch::deny::EXTRA_MAX;
use crate::investigate::patch::{Deny, Isolated};

const PATTERN_FORM: &str = "a path from the root of the repository, or a name, with * and ** where it likes";

/// The rest of the section is read, and ended, by the caller.
pub(super) fn read(section: &mut Section<'_, '_>) -> Mending {
    let isolation = section.word("test_isolation", &Isolated::NAMES);
    Mending {
        test_seconds: section.whole("test_seconds", d::TEST_SECONDS),
        test_bytes: section.whole("test_bytes", d::TEST_BYTES),
        test_memory_bytes: section.whole("test_memory_bytes", d::TEST_MEMORY_BYTES),
        test_isolation: isolation.as_deref().and_then(Isolated::parse).unwrap_or_default(),
        deny: section.texts("deny", EXTRA_MAX, PATTERN_FORM, |text| Deny::pattern(text).ok_or(None)),
        github_url: section.text("github_url", URL_FORM, text::base_url).good(),
        github_token: section.secret("github_token", 1).good(),
    }
}
