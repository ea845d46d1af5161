//! Which repository of which forge an address means.

use reqwest::Url;

use crate::registry::location::{Location, Protocol};
use crate::triage::model::http::is_here;

/// A repository of a GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) owner: String,
    pub(super) name: String,
}

/// The repository, if it is one of the GitHub whose API is at `api`.
///
/// `https://api.github.com` is github.com's, `https://HOST/api/v3` that of `HOST`, `https://api.SUB.ghe.com` that of
/// `SUB.ghe.com`. An API on this machine is that of whatever is on this machine: its last two names count.
pub(super) fn named(of: &Location, api: &Url) -> Option<Named> {
    let (host, path) = parts(of)?;
    let api_host = api.host_str().unwrap_or_default().to_ascii_lowercase();
    let own = match api_host.strip_prefix("api.") {
        Some(rest) if rest == "github.com" || rest.ends_with(".ghe.com") => rest,
        _ => api_host.as_str(),
    };
    let host = host.to_ascii_lowercase();
    let fits = match host.as_str() {
        "" => is_here(own),
        "www.github.com" | "ssh.github.com" => own == "github.com",
        host => host == own || (is_here(host) && is_here(own)),
    };
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    let mut names: Vec<&str> = path.split('/').collect();
    let name = names.pop().map(|name| name.strip_suffix(".git").unwrap_or(name))?;
    let owner = names.pop()?;
    // Elsewhere an address has an owner and a name, and nothing else.
    let exact = names.is_empty() || host.is_empty() || is_here(&host);
    let sound = |part: &str| {
        let plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        plain && !matches!(part, "" | "." | "..") && part.len() <= 100
    };
    (fits && exact && sound(owner) && sound(name)).then(|| Named { owner: owner.to_owned(), name: name.to_owned() })
}

/// Scheme and host of an address that is spoken to over HTTP.
pub(super) fn origin(of: &Location) -> Option<String> {
    let (scheme, rest) = of.as_str().split_once("://").filter(|_| of.protocol() != Protocol::Ssh)?;
    Some(format!("{scheme}://{}", rest.split(['/', '?', '#']).next()?))
}

/// Its host, empty for this machine's disk, and its path.
fn parts(of: &Location) -> Option<(&str, &str)> {
    let text = of.as_str();
    if of.protocol() == Protocol::File {
        return Some(("", text));
    }
    let (authority, path) = match text.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?,
        None => text.split_once(':')?,
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // Without its port, which says nothing about whose it is.
    let host = match host.split_once(']') {
        Some((inner, _)) => inner.trim_start_matches('['),
        None => host.split(':').next().unwrap_or_default(),
    };
    Some((host, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_its_owner_and_name() {
        for (address, api, wanted) in [
            ("https://github.com/acme/shop.git", "https://api.github.com", Some("acme/shop")),
            ("https://github.com/acme/shop", "https://api.github.com", Some("acme/shop")),
            ("https://GitHub.com/acme/shop.git/", "https://api.github.com", Some("acme/shop")),
            ("git@github.com:acme/shop.git", "https://api.github.com", Some("acme/shop")),
            ("ssh://git@github.com:22/acme/shop.git", "https://api.github.com", Some("acme/shop")),
            ("ssh://git@ssh.github.com:443/acme/shop.git", "https://api.github.com", Some("acme/shop")),
            ("git@git.acme.example:team/shop.git", "https://git.acme.example/api/v3", Some("team/shop")),
            ("https://git.acme.example:8443/team/shop", "https://git.acme.example:8443/api/v3", Some("team/shop")),
            ("https://acme.ghe.com/team/shop", "https://api.acme.ghe.com", Some("team/shop")),
            ("/srv/git/acme/shop.git", "http://127.0.0.1:3000", Some("acme/shop")),
            ("http://127.0.0.1:4000/acme/shop.git", "http://127.0.0.1:3000/api/v3", Some("acme/shop")),
            ("/srv/git/acme/shop.git", "https://api.github.com", None),
            ("/srv/git/acme/shop.git", "http://127.evil.example", None),
            ("http://127.0.0.1:4000/acme/shop.git", "http://127.evil.example", None),
            ("https://gitlab.com/acme/shop.git", "https://api.github.com", None),
            ("https://github.com.evil.example/acme/shop.git", "https://api.github.com", None),
            ("https://evil.example/github.com/acme/shop", "https://api.github.com", None),
            ("https://github.com/acme/group/shop.git", "https://api.github.com", None),
            ("https://github.com/acme", "https://api.github.com", None),
            ("https://github.com/acme/..", "https://api.github.com", None),
            ("https://github.com/acme/%2e%2e", "https://api.github.com", None),
            ("git@github.com:acme/shop.git", "https://git.acme.example/api/v3", None),
        ] {
            let of = Location::parse(address).expect("an address");
            let api = Url::parse(api).expect("a URL");
            let found = named(&of, &api).map(|named| format!("{}/{}", named.owner, named.name));
            assert_eq!(found.as_deref(), wanted, "{address} {api}");
        }
    }

    #[test]
    fn only_what_is_spoken_to_over_http_has_an_origin() {
        for (address, wanted) in [
            ("https://github.com/acme/shop.git", Some("https://github.com")),
            ("http://127.0.0.1:4000/a/b", Some("http://127.0.0.1:4000")),
            ("ssh://git@github.com/acme/shop.git", None),
            ("git@github.com:acme/shop.git", None),
            ("/srv/git/shop.git", None),
        ] {
            let of = Location::parse(address).expect("an address");
            assert_eq!(origin(&of).as_deref(), wanted, "{address}");
        }
    }
}
