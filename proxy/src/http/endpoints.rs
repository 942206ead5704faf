//! What can be asked: the table, and the way from a request to its answer.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;

use super::answer::{Answer, Failure};
use super::call::Call;
use super::state::State;
use super::{cluster, credentials, origin, probes, settings};
use crate::metrics;
use crate::shared::Shared;

/// One thing that can be asked.
struct Endpoint {
    path: &'static str,
    method: &'static str,
    /// The arguments that it knows; others are an error, so that one that is misspelt is noticed.
    arguments: &'static [&'static str],
    about: &'static str,
}

/// All of them.
const ENDPOINTS: &[Endpoint] = &[
    Endpoint { path: "/", method: "GET", arguments: &[], about: "what can be asked" },
    Endpoint { path: "/livez", method: "GET", arguments: &["verbose"], about: "200 while the process works" },
    Endpoint {
        path: "/readyz",
        method: "GET",
        arguments: &["verbose", "timeout", "exclude"],
        about: "200 if this node can serve clients now",
    },
    Endpoint {
        path: "/cluster/status",
        method: "GET",
        arguments: &[],
        about: "how this node is, and its cluster",
    },
    Endpoint {
        path: "/cluster/members",
        method: "GET",
        arguments: &[],
        about: "the members, each asked how it is",
    },
    Endpoint {
        path: "/cluster/members",
        method: "POST",
        arguments: &[],
        about: "adds a node, or puts it in the place of another",
    },
    Endpoint {
        path: "/cluster/members",
        method: "DELETE",
        arguments: &["id", "force"],
        about: "removes a member",
    },
    Endpoint {
        path: "/cluster/health",
        method: "GET",
        arguments: &[],
        about: "all links between the members, and what follows from them",
    },
    Endpoint {
        path: "/metrics",
        method: "GET",
        arguments: &[],
        about: "metrics in Prometheus's text format",
    },
    Endpoint { path: "/config", method: "GET", arguments: &[], about: "every option; secrets are hidden" },
    Endpoint { path: "/log-level", method: "GET", arguments: &[], about: "what is logged, by target" },
    Endpoint { path: "/log-level", method: "PUT", arguments: &[], about: "changes what is logged" },
];

/// Answers a request, whatever it is.
pub(super) async fn answer(
    state: &State,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let answered = match Call::read(peer, request).await {
        Ok(call) => route(state, &call).await,
        Err(failure) => Err(failure),
    };
    answered.unwrap_or_else(Failure::into_answer).into_response()
}

async fn route(state: &State, call: &Call) -> Result<Answer, Failure> {
    let endpoint = find(call)?;
    // Probes say nothing of the data, and come from wherever the orchestrator is.
    if !matches!(endpoint.path, "/livez" | "/readyz") {
        credentials::admit(&state.config.load(), call)?;
    }
    if let Some(unknown) = call.argument_names().find(|name| !endpoint.arguments.contains(name)) {
        let known = match endpoint.arguments {
            [] => "none".to_owned(),
            some => some.join(", "),
        };
        return Err(Failure::bad(format!("{} has no argument {unknown:?}; it has {known}", endpoint.path)));
    }
    if call.method != Method::GET {
        let config = state.config.load();
        origin::check(&config, call, credentials::has_password(&config, call))?;
        credentials::check(&**node(state)?, call)?;
    }
    match (endpoint.method, endpoint.path) {
        (_, "/") => index(),
        (_, "/livez") => probes::live(call),
        (_, "/readyz") => probes::ready(state.node.get(), call).await,
        (_, "/metrics") => Ok(scrape(state)),
        (_, "/config") => settings::config(state),
        ("GET", "/log-level") => settings::log_level(state),
        ("PUT", "/log-level") => settings::set_log_level(node(state)?, call),
        (_, "/cluster/status") => cluster::status(node(state)?).await,
        ("GET", "/cluster/members") => cluster::members(node(state)?).await,
        ("POST", "/cluster/members") => cluster::add_member(node(state)?, call).await,
        ("DELETE", "/cluster/members") => cluster::remove_member(node(state)?, call).await,
        (_, "/cluster/health") => cluster::health(node(state)?),
        (_, other) => Err(Failure::new(StatusCode::NOT_FOUND, format!("there is nothing at {other}"))),
    }
}

fn find(call: &Call) -> Result<&'static Endpoint, Failure> {
    // With and without a slash at the end, as people type it.
    let path = &call.path;
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let there = || ENDPOINTS.iter().filter(|endpoint| endpoint.path == path);
    if let Some(found) = there().find(|endpoint| endpoint.method == call.method.as_str()) {
        return Ok(found);
    }
    let allowed: Vec<&str> = there().map(|endpoint| endpoint.method).collect();
    Err(if allowed.is_empty() {
        Failure::new(StatusCode::NOT_FOUND, format!("there is nothing at {path}; GET / lists what there is"))
    } else {
        Failure::method(call.method.as_str(), path, &allowed.join(", "))
    })
}

/// The node, or that there is none yet.
fn node(state: &State) -> Result<&Arc<Shared>, Failure> {
    state.node.get().ok_or_else(|| {
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "this node is starting: it waits for the other members")
    })
}

fn index() -> Result<Answer, Failure> {
    let rows = ENDPOINTS.iter().map(|endpoint| {
        json!({
            "path": endpoint.path,
            "method": endpoint.method,
            "arguments": endpoint.arguments,
            "about": endpoint.about,
        })
    });
    Answer::json(&json!({ "endpoints": rows.collect::<Vec<_>>() }))
}

fn scrape(state: &State) -> Answer {
    if let Some(shared) = state.node.get() {
        metrics::publish(&shared.handle);
        shared.clients.memory.publish(shared.config.load().limits.max_client_memory);
    }
    Answer::typed(metrics::text::MEDIA_TYPE, metrics::text::render(&state.registry))
}
