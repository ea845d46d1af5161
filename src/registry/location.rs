//! Where a repository is: what of an operator's text may become an argument of git.
//!
//! An address is of a scheme that carries git and nothing else, or an absolute path of this machine. Whatever names a
//! program (`ext::`), begins like an option, or holds a password is refused: an address stands in arguments, which
//! others can see.

use std::fmt;
use std::net::IpAddr;

/// Longer ones are nobody's.
const LENGTH_MAX: usize = 500;

pub const FORM: &str =
    "an https:// or ssh:// address of a repository, git@host:path, or an absolute path on this machine";

/// How git gets there: the one protocol that it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Https,
    /// To this machine only.
    Http,
    Ssh,
    File,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    text: String,
    protocol: Protocol,
}

impl Protocol {
    /// As git calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Https => "https",
            Protocol::Http => "http",
            Protocol::Ssh => "ssh",
            Protocol::File => "file",
        }
    }
}

impl Location {
    /// `Err`: a hint, where there is one.
    pub fn parse(text: &str) -> Result<Location, Option<String>> {
        let hint = |words: &str| Err(Some(words.to_owned()));
        if !(1..=LENGTH_MAX).contains(&text.len()) || text.chars().any(|c| c.is_control()) {
            return Err(None);
        }
        if text.starts_with('-') {
            return hint("it begins like an option");
        }
        let protocol = match text.split_once("://") {
            Some((scheme, rest)) => {
                let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
                let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(user, host)| (user, host));
                let is_plain =
                    |c: char| c.is_ascii_graphic() && !matches!(c, '\\' | '"' | '\'' | '`' | '<' | '>' | '|');
                match scheme {
                    "file" => return hint("write the path alone"),
                    "git" => return hint("it would be read in the clear and unproved: https:// or ssh://"),
                    _ => {}
                }
                if !text.chars().all(is_plain) || host.is_empty() || host.starts_with('-') || user.starts_with('-') {
                    return Err(None);
                }
                match scheme {
                    "https" | "http" if !user.is_empty() => {
                        return hint(
                            "it must not carry a user or password: other users of this machine see what git is called with",
                        );
                    }
                    "https" => Protocol::Https,
                    "http" if is_loopback(host) => Protocol::Http,
                    "http" => return hint("it would be read in the clear and unproved: https:// or ssh://"),
                    "ssh" if user.contains(':') => return hint("it must not carry a password"),
                    "ssh" => Protocol::Ssh,
                    _ => return Err(None),
                }
            }
            // `ext::sh -c …` and other programs that git would run.
            None if text.contains("::") => return hint("it names a program"),
            None if text.starts_with('/') => {
                if text.split('/').any(|part| part == "..") {
                    return hint("without ..");
                }
                Protocol::File
            }
            None => {
                let Some((host, path)) = text.split_once(':') else {
                    return hint("a path begins with /");
                };
                let (user, host) = host.rsplit_once('@').unwrap_or(("", host));
                let ok = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
                let begins = [user, host, path].iter().any(|part| part.starts_with('-'));
                let path_ok = path.chars().all(|c| {
                    c.is_ascii_graphic() && !matches!(c, '\\' | '"' | '\'' | '`' | '$' | ';' | '&' | '|' | '<' | '>')
                });
                if begins || host.is_empty() || path.is_empty() || !ok(host) || !ok(user) || !path_ok {
                    return Err(None);
                }
                Protocol::Ssh
            }
        };
        Ok(Location { text: text.to_owned(), protocol })
    }

    /// As git is given it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_loopback(host: &str) -> bool {
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// A commit by its hash: whole, or so much of it that it is nobody else's.
pub fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_repositories_are_taken() {
        for (text, protocol) in [
            ("https://github.com/acme/shop.git", Protocol::Https),
            ("https://git.acme.example:8443/a/b?x=1", Protocol::Https),
            ("http://127.0.0.1:3000/a.git", Protocol::Http),
            ("http://[::1]:3000/a.git", Protocol::Http),
            ("ssh://git@github.com/acme/shop.git", Protocol::Ssh),
            ("git@github.com:acme/shop.git", Protocol::Ssh),
            ("github.com:~acme/shop.git", Protocol::Ssh),
            ("/srv/git/shop with blanks.git", Protocol::File),
        ] {
            assert_eq!(Location::parse(text).map(|l| l.protocol()), Ok(protocol), "{text}");
        }
        for text in [
            "",
            "ext::sh -c touch% /tmp/x",
            "ext::https://x",
            "fd::7",
            "-u./x",
            "--upload-pack=touch x",
            "file:///srv/x",
            "git://github.com/acme/shop",
            "http://github.com/acme/shop",
            "https://user:secret@github.com/x",
            "https://token@github.com/x",
            "ssh://a:b@h/x",
            "ssh://-oProxyCommand=x/y",
            "-oProxyCommand=x:y",
            "git@-x:y",
            "git@host:-x",
            "git@ho st:x",
            "host:x;y",
            "relative/path",
            "./path",
            "/a/../b",
            "ftp://x/y",
            "https://",
            "https:///x",
            "https://a/b\nc",
            "a\0b",
            "https://a/`x`",
            "ssh://git@/x",
            "C:\\repo",
        ] {
            assert!(Location::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_commit_is_hexadecimal_and_nothing_else() {
        for good in ["0123456", &"a".repeat(40), &"f".repeat(64)] {
            assert!(is_commit(good), "{good}");
        }
        for bad in
            ["", "012345", "HEAD", "main", "-0123456", "0123456^", "ABCDEF0", "abcdefg", &"a".repeat(65), "0123456\n"]
        {
            assert!(!is_commit(bad), "{bad}");
        }
    }
}
