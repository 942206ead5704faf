//! Who is served, and who may change something: whoever has `listen.password`, as Basic credentials (of any user, as
//! Redis has one user) or as a Bearer token. Where no password is set, only somebody on the node's own machine
//! ([`crate::protection`]).

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conf::ClusterConfig;
use hyper::StatusCode;

use super::answer::Failure;
use super::call::Call;
use crate::protection;
use crate::shared::Shared;

/// Whether a password is set and the request has it.
pub(super) fn has_password(config: &ClusterConfig, call: &Call) -> bool {
    let wanted = config.listen.password.as_bytes();
    let given = call.authorization().and_then(password);
    !wanted.is_empty() && given.is_some_and(|given| crate::password::is(wanted, &given))
}

/// Refuses who is not served at all while no password is set.
pub(super) fn admit(config: &ClusterConfig, call: &Call) -> Result<(), Failure> {
    if protection::denies(config, call.peer, at(config)) {
        return Err(Failure::new(StatusCode::FORBIDDEN, protection::DENIED));
    }
    Ok(())
}

/// The address that requests come to, as far as it is known: who listens everywhere takes the loopback interface alone
/// for this machine.
fn at(config: &ClusterConfig) -> SocketAddr {
    config.listen.http.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)))
}

/// Refuses who may not change anything.
pub(super) fn check(shared: &Shared, call: &Call) -> Result<(), Failure> {
    let config = shared.config.load();
    if protection::denies_changes(&config, call.peer, at(&config)) {
        return Err(Failure::new(StatusCode::FORBIDDEN, protection::CHANGES_DENIED));
    }
    if config.listen.password.is_empty() {
        return Ok(());
    }
    if has_password(&config, call) { Ok(()) } else { Err(Failure::unauthorized()) }
}

/// The password of an Authorization header.
fn password(header: &str) -> Option<Vec<u8>> {
    let (scheme, value) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.trim().as_bytes().to_vec());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = STANDARD.decode(value.trim()).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(pair[colon + 1..].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemes_carry_the_password() {
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        assert_eq!(password("Bearer p:w"), Some(b"p:w".to_vec()));
        assert_eq!(password(&basic("default:p:w")), Some(b"p:w".to_vec()));
        assert_eq!(password(&basic(":x")), Some(b"x".to_vec()));
        for bad in ["", "p", "Digest x", "Basic ???", &basic("no colon")] {
            assert_eq!(password(bad), None, "{bad}");
        }
    }
}
