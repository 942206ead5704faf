//! What every request between nodes must prove, and the check of it.

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, StatusCode};

use crate::types::NodeId;

static CLUSTER: HeaderName = HeaderName::from_static("x-raft-cluster");
static SENDER: HeaderName = HeaderName::from_static("x-raft-sender");
static TARGET: HeaderName = HeaderName::from_static("x-raft-target");

/// Why no credentials can be made.
#[derive(Debug, thiserror::Error)]
#[error("{what} holds characters that an HTTP header cannot carry")]
pub struct CredentialsError {
    /// The option at fault.
    pub what: &'static str,
}

/// Who this node is and what it shares with its cluster.
#[derive(Clone)]
pub(crate) struct Credentials {
    node: NodeId,
    cluster: HeaderValue,
    sender: HeaderValue,
    authorization: HeaderValue,
    has_secret: bool,
}

/// A refused request: the status and the sentence that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) reason: String,
}

impl Credentials {
    pub(crate) fn new(node: NodeId, cluster: &str, secret: &str) -> Result<Self, CredentialsError> {
        let cluster = HeaderValue::from_str(cluster).map_err(|_| CredentialsError { what: "cluster.id" })?;
        let mut authorization = HeaderValue::from_bytes(format!("Bearer {secret}").as_bytes())
            .map_err(|_| CredentialsError { what: "cluster.secret" })?;
        authorization.set_sensitive(true);
        Ok(Self { node, cluster, sender: node.into(), authorization, has_secret: !secret.is_empty() })
    }

    /// Puts the proof on a request to `target`.
    pub(crate) fn sign<B>(&self, request: &mut Request<B>, target: NodeId) {
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(&CLUSTER, self.cluster.clone());
        headers.insert(&SENDER, self.sender.clone());
        headers.insert(&TARGET, target.into());
    }

    /// Whether the request comes from somebody who knows the secret, of whatever cluster.
    pub(crate) fn check_secret(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        if !self.has_secret || !equal_in_constant_time(given, self.authorization.as_bytes()) {
            return Err(Refusal { status: StatusCode::UNAUTHORIZED, reason: String::new() });
        }
        Ok(())
    }

    /// Answers the sender, or why the request is refused. The secret comes first: a stranger learns nothing.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<NodeId, Refusal> {
        self.check_secret(headers)?;
        if headers.get(&CLUSTER) != Some(&self.cluster) {
            return Err(Refusal {
                status: StatusCode::CONFLICT,
                reason: format!(
                    "this node belongs to the cluster {}",
                    self.cluster.to_str().unwrap_or_default()
                ),
            });
        }
        if number(headers, &TARGET) != Some(self.node) {
            return Err(Refusal {
                status: StatusCode::MISDIRECTED_REQUEST,
                reason: format!("this is node {}, not the one that was asked for", self.node),
            });
        }
        number(headers, &SENDER).ok_or_else(|| Refusal {
            status: StatusCode::BAD_REQUEST,
            reason: "the sender's node id is missing".to_owned(),
        })
    }
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// Takes as long for a near miss as for a far one, so that a secret cannot be guessed byte by byte. Its length is
/// no secret.
fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let difference = a.iter().zip(b).fold(0u8, |sum, (x, y)| std::hint::black_box(sum | (x ^ y)));
    difference == 0
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn signed(by: &Credentials, target: NodeId) -> HeaderMap {
        let mut request = Request::new(());
        by.sign(&mut request, target);
        request.headers().clone()
    }

    #[test]
    fn only_a_member_that_looks_for_this_node_passes() {
        let me = Credentials::new(1, "c", "secret").unwrap();
        let peer = Credentials::new(2, "c", "secret").unwrap();
        assert_eq!(me.check(&signed(&peer, 1)), Ok(2));
        let refused = |by: &Credentials, target| me.check(&signed(by, target)).unwrap_err().status;
        assert_eq!(refused(&peer, 3), StatusCode::MISDIRECTED_REQUEST);
        assert_eq!(refused(&Credentials::new(2, "d", "secret").unwrap(), 1), StatusCode::CONFLICT);
        assert_eq!(refused(&Credentials::new(2, "c", "Secret").unwrap(), 1), StatusCode::UNAUTHORIZED);
        assert_eq!(me.check(&HeaderMap::new()).unwrap_err().status, StatusCode::UNAUTHORIZED);
    }

    #[test]
    fn without_a_secret_nobody_passes() {
        let me = Credentials::new(1, "c", "").unwrap();
        assert_eq!(me.check(&signed(&me, 1)).unwrap_err().status, StatusCode::UNAUTHORIZED);
    }
}
