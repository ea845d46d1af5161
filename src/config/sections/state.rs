//! Where the small state is kept: `state_url` of `[store]`, and what goes with it.

use std::time::Duration;

use crate::config::reader::{Section, Setting};
use crate::config::text::{self, Hint, URL_FORM};
use crate::config::{State, aws, defaults as d};
use crate::fault::Fault;
use crate::state::credentials::Source;
use crate::state::sign::Keys;
use crate::state::{Target, bucket};

const STATE_FORM: &str = "s3://bucket/prefix, the path of a folder, or \"\" for none";
const REGION_FORM: &str = "the name of a region such as eu-west-1";

/// What `state_url` names.
enum Place {
    Nowhere,
    Folder(std::path::PathBuf),
    Bucket { bucket: String, prefix: String },
}

pub(super) fn read(mut section: Section<'_, '_>) -> Option<State> {
    let state = state(&mut section);
    section.finish();
    state
}

fn state(section: &mut Section<'_, '_>) -> Option<State> {
    let place = section.text("state_url", STATE_FORM, place);
    let every = Duration::from_secs(section.whole("state_seconds", d::STATE_SECONDS));
    let endpoint = section.text("state_endpoint", URL_FORM, text::base_url);
    let region = section.text("state_region", REGION_FORM, region);
    let (id, secret) = (section.secret("access_key_id", 1), section.secret("secret_access_key", 1));
    for (name, is_given, other) in
        [("access_key_id", id.is_given(), secret.is_given()), ("secret_access_key", secret.is_given(), id.is_given())]
    {
        if other && !is_given {
            section.reader.push(Fault::missing(section.key(name), "the other half of the credentials"));
        }
    }
    let (bucket, prefix) = match place {
        Setting::Good(Place::Bucket { bucket, prefix }) => (bucket, prefix),
        Setting::Good(Place::Folder(folder)) => return Some(State { target: Target::Folder(folder), every }),
        Setting::Good(Place::Nowhere) | Setting::Absent | Setting::Faulty => return None,
    };
    let variable = |name: &str| section.reader.variable(name);
    let region_of_task = aws::region(variable).and_then(|name| self::region(name).ok());
    let source = aws::source(variable);
    let given = match (id, secret) {
        (Setting::Absent, Setting::Absent) => None,
        (id, secret) => Some(id.good().zip(secret.good())),
    };
    let credentials = match (given, source) {
        (Some(keys), _) => keys.map(|(id, secret)| Source::Given(Keys { id, secret, session: None })),
        (None, Ok(Some(source))) => Some(source),
        (None, Ok(None)) => {
            let expected =
                "a key (with secret_access_key), as neither AWS_ACCESS_KEY_ID nor a container's role is there";
            section.reader.push(Fault::missing(section.key("access_key_id"), expected));
            None
        }
        (None, Err((name, what))) => {
            section.reader.push(Fault::new(name, what));
            None
        }
    };
    let is_aws = !endpoint.is_given();
    let region = match region {
        Setting::Good(region) => Some(region),
        Setting::Faulty => None,
        // Whoever else speaks S3 mostly has one, and calls it so.
        Setting::Absent => region_of_task.or_else(|| (!is_aws).then(|| d::STATE_REGION.to_owned())).or_else(|| {
            section.reader.push(Fault::missing(section.key("state_region"), REGION_FORM));
            None
        }),
    };
    let target =
        bucket::Target { bucket, prefix, region: region?, endpoint: endpoint.good(), credentials: credentials? };
    Some(State { target: Target::Bucket(target), every })
}

fn place(text: &str) -> Result<Place, Hint> {
    if text.is_empty() {
        return Ok(Place::Nowhere);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok(Place::Folder(text.into()));
    };
    if scheme != "s3" {
        return Err(Some("of addresses only s3:// is known".to_owned()));
    }
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let of_bucket = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
    let sound = (3..=63).contains(&bucket.len()) && bucket.bytes().all(of_bucket);
    if !sound || bucket.starts_with(['.', '-']) || bucket.ends_with(['.', '-']) || bucket.contains("..") {
        return Err(Some("a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens".to_owned()));
    }
    let prefix = prefix.trim_end_matches('/');
    let of_prefix = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'=');
    let part = |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(of_prefix);
    if !prefix.is_empty() && (prefix.len() > d::STATE_PREFIX_MAX_BYTES || !prefix.split('/').all(part)) {
        return Err(Some("of a prefix only letters, digits and -_.= between single slashes are taken".to_owned()));
    }
    Ok(Place::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

fn region(text: &str) -> Result<String, Hint> {
    let sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=40).contains(&text.len()) && text.bytes().all(sound) { Ok(text.to_owned()) } else { Err(None) }
}
