//! Small JSON answers, and the one form of an error.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

pub fn json(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    text(status, "application/json", format!("{body}\n"))
}

/// `{"error": {"code", "message", "field"?}}`.
pub fn error(status: StatusCode, code: &str, message: &str, field: Option<&str>) -> Response<Full<Bytes>> {
    let mut body = json!({"error": {"code": code, "message": message}});
    if let (Some(field), Some(error)) = (field, body.get_mut("error")) {
        error["field"] = field.into();
    }
    json(status, &body)
}

pub fn text(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
