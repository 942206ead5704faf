//! The Prometheus endpoint: `GET /metrics`.

use std::convert::Infallible;

use adapter::{Adapter, Fact, FactValue};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use raft::Handle;
use tokio::net::TcpListener;

/// Publishes what there is to know of a storage as `raft_proxy_storage_<name>`, as far as it is a number.
fn publish(facts: Vec<Fact>) {
    for Fact { name, value } in facts {
        match value {
            FactValue::Text(_) => {}
            FactValue::Count(count) => {
                metrics::counter!(format!("raft_proxy_storage_{name}_total")).absolute(count);
            }
            FactValue::Level(level) => {
                metrics::gauge!(format!("raft_proxy_storage_{name}")).set(level as f64);
            }
        }
    }
}

/// Starts collecting, and serving what is collected in Prometheus's text format.
pub fn serve<A: Adapter>(listener: TcpListener, node: Handle<A>) -> Result<(), BuildError> {
    let handle = PrometheusBuilder::new().install_recorder()?;
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of file descriptors, most likely: others must close theirs first.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            };
            let (handle, node) = (handle.clone(), node.clone());
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    publish(node.adapter().facts());
                    metrics::gauge!("raft_proxy_storage_up").set(u8::from(node.adapter().health().ok));
                    let response = respond(&request, &handle);
                    async move { Ok::<_, Infallible>(response) }
                });
                if let Err(error) =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
                {
                    tracing::debug!(%error, "a scrape ended early");
                }
            });
        }
    });
    Ok(())
}

fn respond(request: &Request<Incoming>, handle: &PrometheusHandle) -> Response<Full<Bytes>> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, handle.render()),
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, String::new()),
        _ => (StatusCode::NOT_FOUND, "only /metrics is here\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}
