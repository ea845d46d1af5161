//! AWS Signature Version 4 of one request: who asks, and for exactly what.
//!
//! Pure: keys and time come in, the value of `Authorization` comes out. It signs what this program sends and no
//! more: paths that are encoded already, no query, header values without blanks at their ends or in a row.

use ring::{digest, hmac};

use crate::secret::Secret;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who asks. No `Debug`: all of it is secret.
#[derive(Clone)]
pub struct Keys {
    pub id: Secret,
    pub secret: Secret,
    /// Of keys that expire.
    pub session: Option<Secret>,
}

/// What is signed of a request.
pub struct Request<'a> {
    pub method: &'a str,
    /// As it is sent, percent-encoded.
    pub path: &'a str,
    /// Names in lower case, in any order; `host` and `x-amz-date` are among them.
    pub headers: &'a [(&'a str, &'a str)],
    /// [`hash`] of the body.
    pub payload: &'a str,
}

/// The value of `Authorization`. `stamp`: see [`stamp`].
pub fn authorization(request: &Request<'_>, (region, service): (&str, &str), keys: &Keys, stamp: &str) -> String {
    let mut headers = request.headers.to_vec();
    headers.sort_unstable();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!("{}\n{}\n\n{lines}\n{names}\n{}", request.method, request.path, request.payload);
    let day = stamp.split('T').next().unwrap_or_default();
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let what = format!("{ALGORITHM}\n{stamp}\n{scope}\n{}", hash(canonical.as_bytes()));
    let first = format!("AWS4{}", keys.secret.expose()).into_bytes();
    let key = [day, region, service, "aws4_request"].iter().fold(first, |key, part| mac(&key, part));
    let signature = hex(&mac(&key, &what));
    format!("{ALGORITHM} Credential={}/{scope},SignedHeaders={names},Signature={signature}", keys.id.expose())
}

/// SHA-256 in hexadecimal.
pub fn hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Unix milliseconds as AWS writes a time: `20130524T000000Z`.
pub fn stamp(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default().strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn keys(id: &str, secret: &str) -> Keys {
        Keys { id: Secret::new(id), secret: Secret::new(secret), session: None }
    }

    /// The examples of the Amazon S3 API reference, "Authenticating Requests: Using the Authorization Header".
    #[test]
    fn the_examples_of_the_s3_reference_come_out_as_printed() {
        let keys = keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let host = ("host", "examplebucket.s3.amazonaws.com");
        let date = ("x-amz-date", "20130524T000000Z");
        let sign = |method, path, headers: &[(&str, &str)], payload| {
            let request = Request { method, path, headers, payload };
            authorization(&request, ("us-east-1", "s3"), &keys, "20130524T000000Z")
        };
        let get = [("range", "bytes=0-9"), date, host, ("x-amz-content-sha256", EMPTY)];
        assert_eq!(
            sign("GET", "/test.txt", &get, EMPTY),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        let payload = hash(b"Welcome to Amazon S3.");
        assert_eq!(payload, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
        let put = [
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            host,
            ("x-amz-content-sha256", &payload),
            date,
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ];
        let signed = sign("PUT", "/test%24file.text", &put, &payload);
        assert!(
            signed.ends_with("Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
            "{signed}"
        );
    }

    /// `get-vanilla` of the Signature Version 4 test suite.
    #[test]
    fn the_plainest_request_of_the_test_suite_comes_out_as_printed() {
        let keys = keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let headers = [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")];
        let request = Request { method: "GET", path: "/", headers: &headers, payload: EMPTY };
        let signed = authorization(&request, ("us-east-1", "service"), &keys, "20150830T123600Z");
        assert!(
            signed.ends_with("Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            "{signed}"
        );
    }

    #[test]
    fn a_time_is_written_in_utc_without_its_milliseconds() {
        assert_eq!(stamp(1_369_353_600_999), "20130524T000000Z");
        assert_eq!(stamp(i64::MAX), "19700101T000000Z", "no time at all, and no panic");
    }
}
