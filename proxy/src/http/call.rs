//! One request, as far as it matters here.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;

use super::answer::Failure;

/// The longest body that is read.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A request whose body has arrived.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) peer: SocketAddr,
    /// HEAD is taken for GET: who sends the answer leaves its body out.
    pub(super) method: Method,
    pub(super) path: String,
    arguments: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    /// The host in the request line, if that names one.
    pub(super) authority: Option<String>,
    body: Bytes,
}

impl Call {
    pub(super) async fn read(peer: SocketAddr, request: Request<Incoming>) -> Result<Self, Failure> {
        let (head, body) = request.into_parts();
        let arguments = arguments(head.uri.query().unwrap_or_default())?;
        let body = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY_BYTES).collect()).await;
        let body =
            body.map_err(|_| Failure::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"))?;
        let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is longer than {MAX_BODY_BYTES} bytes"),
            ),
            None => Failure::bad(format!("the body could not be read: {error}")),
        })?;
        Ok(Self {
            peer,
            method: if head.method == Method::HEAD { Method::GET } else { head.method },
            path: head.uri.path().to_owned(),
            authority: head.uri.authority().map(|authority| authority.as_str().to_owned()),
            headers: head.headers,
            arguments,
            body: body.to_bytes(),
        })
    }

    /// The Authorization header, if it is text.
    pub(super) fn authorization(&self) -> Option<&str> {
        self.headers.get(AUTHORIZATION)?.to_str().ok()
    }

    /// Whether anything was sent besides the head.
    pub(super) fn has_body(&self) -> bool {
        !self.body.is_empty()
    }

    /// The body, which must be JSON of this form.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::bad(format!("the body is not what it must be: {error}")))
    }

    /// The names of the arguments behind the question mark.
    pub(super) fn argument_names(&self) -> impl Iterator<Item = &str> {
        self.arguments.iter().map(|(name, _)| &**name)
    }

    /// The value of an argument, the last one if it is there several times.
    pub(super) fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.iter().rev().find(|(other, _)| other == name).map(|(_, value)| &**value)
    }

    /// All values of an argument.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.arguments.iter().filter(move |(other, _)| other == name).map(|(_, value)| &**value)
    }

    /// Whether a switch is on: there without a value, or with `true` or `1`.
    pub(super) fn switch(&self, name: &str) -> Result<bool, Failure> {
        match self.argument(name) {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(other) => Err(Failure::bad(format!("{name} must be true or false, not {other:?}"))),
        }
    }

    /// A duration such as `500ms` or `5s`, up to `most`.
    pub(super) fn duration(&self, name: &str, most: Duration) -> Result<Option<Duration>, Failure> {
        let parse = |text| {
            conf::value::duration(text, Duration::ZERO..=most)
                .map_err(|wanted| Failure::bad(format!("{name} must be {wanted}, not {text:?}")))
        };
        self.argument(name).map(parse).transpose()
    }
}

#[cfg(test)]
impl Call {
    /// A request with these headers, for tests.
    pub(super) fn with_body(headers: &[(&str, &str)], body: &'static str) -> Self {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let parsed = (hyper::header::HeaderName::from_bytes(name.as_bytes()), value.parse());
            if let (Ok(name), Ok(value)) = parsed {
                map.append(name, value);
            }
        }
        Self {
            peer: ([127, 0, 0, 1], 1).into(),
            method: Method::POST,
            path: "/".to_owned(),
            arguments: Vec::new(),
            headers: map,
            authority: None,
            body: Bytes::from_static(body.as_bytes()),
        }
    }
}

fn arguments(query: &str) -> Result<Vec<(String, String)>, Failure> {
    let pieces = query.split('&').filter(|piece| !piece.is_empty());
    let pairs = pieces.map(|piece| piece.split_once('=').unwrap_or((piece, "")));
    pairs.map(|(name, value)| Ok((decoded(name)?, decoded(value)?))).collect()
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Result<String, Failure> {
    let wrong = || Failure::bad(format!("{text:?} is not percent-encoded UTF-8"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (hex, tail) = rest.split_at_checked(2).ok_or_else(wrong)?;
                let hex = std::str::from_utf8(hex).ok().filter(|hex| !hex.starts_with('+'));
                bytes.push(hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).ok_or_else(wrong)?);
                rest = tail;
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_split_and_decoded() {
        let found = arguments("verbose&timeout=5s&exclude=a%20b&&x=+%2B").unwrap();
        let expected = [("verbose", ""), ("timeout", "5s"), ("exclude", "a b"), ("x", " +")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        for bad in ["a=%", "a=%2", "a=%zz", "a=%+1", "a=%ff"] {
            assert!(arguments(bad).is_err(), "{bad}");
        }
    }
}
