//! What is answered: JSON, text, errors.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    media_type: &'static str,
    body: Vec<u8>,
    header: Option<(hyper::header::HeaderName, HeaderValue)>,
}

/// A request that is refused, or could not be served: the status and the sentence that goes with it.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    reason: String,
    header: Option<(hyper::header::HeaderName, HeaderValue)>,
}

impl Answer {
    /// Lines for people and probes.
    pub(super) fn text(status: StatusCode, text: String) -> Self {
        Self { status, media_type: "text/plain; charset=utf-8", body: text.into_bytes(), header: None }
    }

    /// Text of another media type.
    pub(super) fn typed(media_type: &'static str, text: String) -> Self {
        Self { status: StatusCode::OK, media_type, body: text.into_bytes(), header: None }
    }

    /// JSON.
    pub(super) fn json(value: &impl Serialize) -> Result<Self, Failure> {
        let mut body = serde_json::to_vec_pretty(value)
            .map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        body.push(b'\n');
        Ok(Self { status: StatusCode::OK, media_type: "application/json", body, header: None })
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = self.header {
            headers.insert(name, value);
        }
        response
    }
}

impl Failure {
    pub(super) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), header: None }
    }

    /// 400: what is wrong with the request.
    pub(super) fn bad(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    /// 405, with what is allowed.
    pub(super) fn method(given: &str, path: &str, allowed: &str) -> Self {
        let header = HeaderValue::from_str(allowed).ok().map(|value| (ALLOW, value));
        let reason = format!("{path} allows {allowed}, not {given}");
        Self { status: StatusCode::METHOD_NOT_ALLOWED, reason, header }
    }

    /// 401: a password is asked for.
    pub(super) fn unauthorized() -> Self {
        let header = (WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"raft-proxy\""));
        let reason = "a change needs listen.password, as Basic or Bearer credentials".to_owned();
        Self { status: StatusCode::UNAUTHORIZED, reason, header: Some(header) }
    }

    pub(super) fn into_answer(self) -> Answer {
        let mut body = json!({ "error": self.reason }).to_string().into_bytes();
        body.push(b'\n');
        Answer { status: self.status, media_type: "application/json", body, header: self.header }
    }
}
