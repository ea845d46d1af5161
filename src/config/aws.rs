//! What AWS's own variables and files say: keys, a container's role, the region.
//!
//! They are read where `[store]` names a bucket and no keys. The file of a token is read again whenever keys are
//! asked for, since it is rotated.

use std::net::IpAddr;
use std::path::Path;

use super::defaults::SECRET_MAX_BYTES;
use super::source::read_file;
use crate::secret::Secret;
use crate::state::credentials::{Source, Token};
use crate::state::sign::Keys;

/// Where ECS answers, on the task's own network.
const ECS: &str = "http://169.254.170.2";
/// Hosts that plain HTTP may go to beside loopback: ECS, and EKS in its two forms.
const NEAR: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// The variables by name; an empty one is none.
pub(super) fn region<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
    variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"))
}

/// In the order in which AWS's own programs look. `Err`: a variable and what is wrong with it.
pub(super) fn source<'a>(
    variable: impl Fn(&str) -> Option<&'a str>,
) -> Result<Option<Source>, (&'static str, &'static str)> {
    if let (Some(id), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
        let session = variable("AWS_SESSION_TOKEN").map(Secret::new);
        return Ok(Some(Source::Given(Keys { id: Secret::new(id), secret: Secret::new(secret), session })));
    }
    const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
    const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    let url = match (variable(RELATIVE), variable(FULL)) {
        (Some(path), _) if path.starts_with('/') && is_plain(path) => format!("{ECS}{path}"),
        (Some(_), _) => return Err((RELATIVE, "must be a path")),
        (None, Some(url)) if is_near(url) => url.to_owned(),
        (None, Some(_)) => {
            return Err((FULL, "must be an https:// address, or http:// to this machine or to ECS or EKS"));
        }
        (None, None) => return Ok(None),
    };
    let file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(|path| Token::File(path.into()));
    let token = file.or_else(|| variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(|t| Token::Text(Secret::new(t))));
    Ok(Some(Source::Container { url, token }))
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
}

fn is_near(url: &str) -> bool {
    let Ok(parsed) = reqwest::Url::parse(url) else { return false };
    let host = parsed.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    let sound = is_plain(url) && parsed.username().is_empty() && parsed.password().is_none();
    sound && (parsed.scheme() == "https" || parsed.scheme() == "http" && (loopback || NEAR.contains(&host)))
}

/// The token in a file, as it is now.
pub fn token(path: &Path) -> Result<Secret, String> {
    let text = read_file(path, SECRET_MAX_BYTES as u64 + 2).map_err(|problem| problem.message)?;
    Ok(Secret::new(text.trim_end()))
}
