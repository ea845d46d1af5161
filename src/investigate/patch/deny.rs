//! Where a mend may not go, whoever asks for it.
//!
//! What decides how the source is built, tested, shipped and who may see it; what it depends on; what is secret. A mend
//! there could do more than mend, and none of it is where a bug of the kind we look for is. Folders and files that begin
//! with a dot are of that kind throughout. Names are compared in lower case, for some disks know no other.

/// Patterns that an operator may add.
pub const EXTRA_MAX: usize = 100;
pub const PATTERN_MAX: usize = 200;

/// `*`: anything but a slash; `**`: anything. Without a slash: a file or folder of that name anywhere.
const BUILTIN: &[&str] = &[
    // What is done with every commit, and who is asked. Most of it begins with a dot.
    "jenkinsfile*",
    "azure-pipelines*",
    "bitbucket-pipelines*",
    "appveyor*",
    "buildspec*",
    "cloudbuild*",
    "codeowners",
    "lefthook.y*ml",
    "renovate.json*",
    "codecov.y*ml",
    // How it is built, and what a test command runs.
    "makefile*",
    "gnumakefile",
    "*.mk",
    "justfile",
    "taskfile*",
    "rakefile",
    "gruntfile*",
    "gulpfile*",
    "cmakelists.txt",
    "*.cmake",
    "meson.build",
    "build",
    "build.bazel",
    "workspace",
    "workspace.bazel",
    "module.bazel",
    "*.bzl",
    "build.rs",
    "gradlew*",
    "mvnw*",
    "webpack.config.*",
    "vite.config.*",
    "rollup.config.*",
    "babel.config.*",
    "tsconfig*.json",
    "next.config.*",
    "build.sbt",
    "build.xml",
    "earthfile",
    "skaffold.y*ml",
    // How it is tested: a line there can turn every test off.
    "conftest.py",
    "pytest.ini",
    "tox.ini",
    "noxfile.py",
    "jest.config.*",
    "jest.setup.*",
    "vitest.config.*",
    "karma.conf.*",
    "playwright.config.*",
    "cypress.config.*",
    "phpunit.xml*",
    "sitecustomize.py",
    "usercustomize.py",
    // What stands in for the runner itself: the folder of a program comes first where its modules are looked for.
    "unittest.py",
    "unittest/__init__.py",
    "**/unittest/__init__.py",
    "unittest/__main__.py",
    "**/unittest/__main__.py",
    "pytest.py",
    "pytest",
    "_pytest",
    "_pytest.py",
    "pluggy.py",
    "pluggy",
    "nose.py",
    "nose2.py",
    "bunfig.toml",
    "deno.json*",
    "*.pth",
    // What it depends on, and where that comes from.
    "*.lock",
    "*.lockfile",
    "*-lock.json",
    "*-lock.yaml",
    "*.lock.json",
    "npm-shrinkwrap.json",
    "go.sum",
    "go.mod",
    "go.work*",
    "package.json",
    "pnpm-workspace.yaml",
    "lerna.json",
    "cargo.toml",
    "rust-toolchain*",
    "requirements*",
    "constraints*.txt",
    "pyproject.toml",
    "uv.toml",
    "hatch.toml",
    "package.swift",
    "setup.py",
    "setup.cfg",
    "pipfile*",
    "environment.y*ml",
    "pom.xml",
    "*.gradle",
    "*.gradle.kts",
    "gradle.properties",
    "gradle",
    "*.csproj",
    "directory.*.props",
    "packages.config",
    "nuget.config",
    "global.json",
    "gemfile*",
    "*.gemspec",
    "composer.json",
    "mix.exs",
    "vendor",
    "node_modules",
    "third_party",
    // How it is shipped and run.
    "*dockerfile*",
    "containerfile*",
    "*compose*.y*ml",
    "procfile",
    "*.tf",
    "*.tfvars",
    "serverless.y*ml",
    "kustomization.y*ml",
    "chart.y*ml",
    // What is secret.
    "secret*.y*ml",
    "secrets.*",
    "*.secret*",
    "credentials*",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "*.kdbx",
    "*.gpg",
    "id_rsa*",
    "id_ed25519*",
    "secrets",
];
/// What is off limits here.
#[derive(Clone, Debug, Default)]
pub struct Deny {
    extra: Vec<String>,
}

impl Deny {
    /// `extra`: patterns that [`Deny::pattern`] let through.
    pub fn new(extra: impl IntoIterator<Item = String>) -> Deny {
        Deny { extra: extra.into_iter().take(EXTRA_MAX).collect() }
    }

    /// A pattern as it is kept, or `None` if it is none.
    pub fn pattern(text: &str) -> Option<String> {
        let sound = !text.is_empty()
            && text.len() <= PATTERN_MAX
            && !text.starts_with('/')
            && text.matches('*').count() <= 8
            && text.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
            && !text.contains(|c: char| c.is_control() || c == '\\');
        sound.then(|| text.to_lowercase())
    }

    /// The pattern that keeps that path off limits.
    pub fn why(&self, path: &str) -> Option<&str> {
        let path = path.to_lowercase();
        if path.split('/').any(|part| part.starts_with('.')) {
            return Some(".*");
        }
        let patterns = BUILTIN.iter().copied().chain(self.extra.iter().map(String::as_str));
        patterns.into_iter().find(|pattern| {
            if pattern.contains('/') {
                // A folder is all that is in it.
                fits(pattern, &path) || path.match_indices('/').any(|(at, _)| fits(pattern, path.split_at(at).0))
            } else {
                path.split('/').any(|part| fits(pattern, part))
            }
        })
    }
}

/// Whether all of `text` is what the pattern says. Its time is that of both lengths multiplied, and both are bounded.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // Which ends of `text` the pattern so far can reach.
    let mut reached = vec![false; text.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    let mut at = 0;
    while let Some(&wanted) = pattern.get(at) {
        let is_deep = wanted == '*' && pattern.get(at + 1) == Some(&'*');
        at += if is_deep { 2 } else { 1 };
        let mut next = vec![false; text.len() + 1];
        let mut open = false;
        for place in 0..=text.len() {
            let here = reached.get(place).copied().unwrap_or(false);
            let before = place.checked_sub(1).and_then(|before| text.get(before)).copied();
            let from_before = place.checked_sub(1).and_then(|before| reached.get(before)).copied().unwrap_or(false);
            let fit = if wanted == '*' {
                open = here || (open && (is_deep || before != Some('/')));
                open
            } else {
                from_before && before == Some(wanted)
            };
            if let Some(slot) = next.get_mut(place) {
                *slot = fit;
            }
        }
        reached = next;
    }
    reached.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_builds_ships_and_guards_the_source_is_off_limits() {
        let deny = Deny::new(["src/billing/**", "*.sql", "migrations/*.py"].map(str::to_owned));
        for path in [
            ".github/workflows/ci.yml",
            "sub/.gitlab-ci.yml",
            ".env",
            "app/.env.production",
            "Jenkinsfile",
            "JENKINSFILE.release",
            "Dockerfile",
            "docker/api.Dockerfile",
            "docker-compose.override.yml",
            "Cargo.lock",
            "web/package-lock.json",
            "web/package.json",
            "pnpm-lock.yaml",
            "go.sum",
            "requirements-dev.txt",
            "Makefile",
            "tests/conftest.py",
            "certs/tls.key",
            "config/secrets.yml",
            "secrets/db.txt",
            "vendor/lib/a.py",
            "src/billing/a/b.py",
            "db/a.sql",
            "migrations/1.py",
            "CODEOWNERS",
            "unittest.py",
            "app/unittest/__init__.py",
            "pytest/__init__.py",
            "_pytest/main.py",
            "pluggy.py",
            "bunfig.toml",
            "deno.jsonc",
            "build.sbt",
            "build.xml",
            "Earthfile",
            "skaffold.yaml",
            "web/next.config.mjs",
            "uv.toml",
            "hatch.toml",
            "Package.swift",
        ] {
            assert!(deny.why(path).is_some(), "{path}");
        }
        for path in [
            "src/app.py",
            "app/secretary.py",
            "src/buildings/a.rs",
            "src/blocks.py",
            "lib/keyboard.js",
            "migrations/old/1.py",
            "src/environment.rs",
            "tests/test_a.py",
            "src/main/java/com/acme/Vendor.java",
            "src/unittest/cart.cpp",
        ] {
            assert_eq!(deny.why(path), None, "{path}");
        }
    }

    #[test]
    fn a_star_stops_at_a_slash_and_two_do_not() {
        for (pattern, text, fit) in [
            ("a*c", "abbc", true),
            ("a*c", "ab/c", false),
            ("a**c", "ab/c", true),
            ("**", "a/b", true),
            ("*", "", true),
            ("a", "ab", false),
            ("*a*b*", "xaxbx", true),
            ("a/*/c", "a/b/c", true),
            ("a/*/c", "a/b/b/c", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, text), fit, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_is_a_path_with_stars() {
        for good in ["*.sql", "src/**", "Src/A.py"] {
            assert!(Deny::pattern(good).is_some(), "{good}");
        }
        for bad in ["", "/a", "a//b", "../a", "a/./b", "a\\b", "a\nb", "*********", &"a".repeat(201)] {
            assert!(Deny::pattern(bad).is_none(), "{bad}");
        }
    }
}
