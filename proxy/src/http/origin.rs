//! Whether a request that changes something comes from a web page that somebody happens to look at.
//!
//! A browser sends requests for any page to any address that its user reaches, so to a node on the user's own
//! machine, too, where no password is asked for. What tells them apart:
//! * `Origin` and `Sec-Fetch-Site`, which a page cannot change: only a page of this very server is let through, and
//!   programs, which send neither.
//! * `Host`, which is the name in the page's own address: a page whose name was made to stand for this node's address
//!   (DNS rebinding) is of the same origin for the browser. So the host must be an address, `localhost`, or a name
//!   that the configuration gives a node. Who has the password may use any name: a browser has no password for a
//!   page's own name.
//! * `Content-Type`: JSON is what a page must ask for first, which is not answered; a form is sent without asking.

use conf::ClusterConfig;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};

use super::answer::Failure;
use super::call::Call;

static FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses a request that a web page may have sent. `trusted`: it has the password.
pub(super) fn check(config: &ClusterConfig, call: &Call, trusted: bool) -> Result<(), Failure> {
    let (headers, hosts) = (&call.headers, hosts(call));
    if let Some(site) = texts(headers, &FETCH_SITE).find(|site| !matches!(site, &"same-origin" | &"none")) {
        return Err(forbidden(format!("a change is not taken from a web page (Sec-Fetch-Site: {site})")));
    }
    if let Some(origin) = texts(headers, &ORIGIN).find(|origin| !hosts.iter().any(|host| is_of(origin, host)))
    {
        return Err(forbidden(format!("a change is not taken from a web page of {origin:?}")));
    }
    if let Some(host) = hosts.iter().find(|host| !trusted && !is_known(config, name(host))) {
        return Err(forbidden(format!(
            "a change is not taken under the name {host:?}: use an address, localhost, or a name that advertise.raft, \
             advertise.resp or cluster.members has"
        )));
    }
    let is_json = |text: &str| {
        let essence = text.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
    };
    if call.has_body() && !texts(headers, &CONTENT_TYPE).any(is_json) {
        let reason = "the body must be JSON: send Content-Type: application/json";
        return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    Ok(())
}

fn forbidden(reason: String) -> Failure {
    Failure::new(StatusCode::FORBIDDEN, reason)
}

/// The values of a header; one that is no text stands for itself as nothing that is ever right.
fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?"))
}

/// All that the request says about where it was sent to.
fn hosts(call: &Call) -> Vec<&str> {
    texts(&call.headers, &HOST).chain(call.authority.as_deref()).collect()
}

/// Whether an origin, such as `http://host:port`, is that of this host.
fn is_of(origin: &str, host: &str) -> bool {
    let own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    own.is_some_and(|own| own.eq_ignore_ascii_case(host))
}

/// The host without the port.
fn name(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

fn is_known(config: &ClusterConfig, host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let same = |address: &str| name(address).trim_end_matches('.').eq_ignore_ascii_case(host);
    host.parse::<std::net::IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || same(&config.advertised_raft())
        || same(&config.advertised_resp())
        || config.cluster.members.iter().any(|member| same(&member.address))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn status(headers: &[(&str, &str)], trusted: bool) -> Option<u16> {
        let mut config = ClusterConfig::default();
        config.advertise.raft = Some("Node1.example:16400".to_owned());
        config.advertise.resp = Some("redis.example:6379".to_owned());
        let call = Call::with_body(headers, "{}");
        check(&config, &call, trusted).err().map(|failure| failure.into_answer().status.as_u16())
    }

    const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

    #[test]
    fn programs_pass_under_any_name_that_is_known() {
        for host in [
            "127.0.0.1:9640",
            "[::1]:9640",
            "[::1]",
            "10.0.0.7",
            "localhost",
            "LOCALHOST:9640",
            "localhost.:9640",
            "node1.example:9640",
            "redis.example",
            "redis.example.",
        ] {
            assert_eq!(status(&[("host", host), JSON], false), None, "{host}");
        }
        // No browser: none sends a request without a host.
        assert_eq!(status(&[JSON], false), None);
    }

    #[test]
    fn a_name_that_was_made_to_stand_for_this_node_is_refused() {
        for host in [
            "evil.example",
            "evil.example:9640",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            "[",
            "x]",
        ] {
            assert_eq!(status(&[("host", host), JSON], false), Some(403), "{host:?}");
            assert_eq!(status(&[("host", host), JSON], true), None, "who has the password: {host:?}");
        }
        assert_eq!(status(&[("host", "127.0.0.1"), ("host", "evil.example"), JSON], false), Some(403));
    }

    #[test]
    fn a_page_of_another_server_is_refused_even_with_the_password() {
        let host = ("host", "127.0.0.1:9640");
        for origin in [
            "https://evil.example",
            "null",
            "",
            "http://127.0.0.1:9641",
            "http://127.0.0.1",
            "http://evil.127.0.0.1:9640",
            "file://127.0.0.1:9640",
            "127.0.0.1:9640",
        ] {
            assert_eq!(status(&[host, ("origin", origin), JSON], true), Some(403), "{origin}");
        }
        for site in ["cross-site", "same-site", "", "new-in-a-browser"] {
            assert_eq!(status(&[host, ("sec-fetch-site", site), JSON], true), Some(403), "{site}");
        }
        let own = [host, ("origin", "http://127.0.0.1:9640"), ("sec-fetch-site", "same-origin"), JSON];
        assert_eq!(status(&own, false), None);
        assert_eq!(status(&[host, ("sec-fetch-site", "none"), JSON], false), None);
    }

    #[test]
    fn what_a_form_can_send_is_no_json() {
        let host = ("host", "127.0.0.1:9640");
        assert_eq!(status(&[host], false), Some(415));
        for media in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/plain; application/json",
        ] {
            assert_eq!(status(&[host, ("content-type", media)], false), Some(415), "{media}");
        }
        let empty = Call::with_body(&[host], "");
        assert!(check(&ClusterConfig::default(), &empty, false).is_ok(), "DELETE has none");
    }
}
