//! How a member is found: a host name stays a name and is looked up each time a connection is opened, so that an
//! address that has changed is followed; and where there are several addresses, all of them are tried.
//!
//! A member is looked for where the membership says it is, and, where this node's configuration says otherwise, there
//! as well: nodes whose addresses have all changed at once find each other by their configurations. Whoever answers
//! must prove that it is the node that was looked for, so a wrong address costs a try and nothing else.
//!
//! Seeds, which only have to be members, may also be found by the SRV records of a service.

use std::cmp::Reverse;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::SRV;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long one address is tried alone before the next is tried beside it.
const STAGGER: Duration = Duration::from_millis(40);
/// The most addresses that are tried for one connection.
const MAX_ADDRESSES: usize = 8;
/// How long one name server has to answer a question for SRV records, and how often it is asked.
const SRV_TIMEOUT: Duration = Duration::from_secs(1);
const SRV_ATTEMPTS: usize = 2;

/// Finds one member.
pub(crate) struct NodeDiscovery {
    /// Where the membership says it is, `host:port`.
    address: String,
    /// Where this node's configuration says it is, if that is elsewhere.
    configured: Option<String>,
    /// Counts the answers of nodes that were not the one looked for.
    strangers: AtomicUsize,
}

impl NodeDiscovery {
    pub(crate) fn new(address: String, configured: Option<String>) -> Self {
        let configured = configured.filter(|configured| *configured != address);
        Self { address, configured, strangers: AtomicUsize::new(0) }
    }

    /// Where the membership says it is.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Opens a connection to the first of its addresses that takes one.
    pub(crate) async fn connect(&self, within: Duration) -> io::Result<TcpStream> {
        let connected = timeout(within, async {
            let mut addresses = self.look_up().await?;
            let turn = self.strangers.load(Ordering::Relaxed) % addresses.len().max(1);
            addresses.rotate_left(turn);
            race(&addresses).await
        });
        connected.await.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "connecting took too long"))?
    }

    /// Whoever answered was not the node that was looked for: the next connection goes to the next address.
    pub(crate) fn met_a_stranger(&self) {
        self.strangers.fetch_add(1, Ordering::Relaxed);
    }

    /// All addresses that there are now. Only if no name has any is that an error.
    async fn look_up(&self) -> io::Result<Vec<SocketAddr>> {
        let configured = async {
            match &self.configured {
                Some(configured) => look_up_one(configured).await.unwrap_or_default(),
                None => Vec::new(),
            }
        };
        let (known, configured) = tokio::join!(look_up_one(&self.address), configured);
        let mut addresses: Vec<SocketAddr> = Vec::new();
        let failed = match known {
            Ok(known) => {
                addresses.extend(known);
                None
            }
            Err(error) => Some(error),
        };
        for address in configured {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses.truncate(MAX_ADDRESSES);
        match failed {
            Some(error) if addresses.is_empty() => Err(error),
            _ => Ok(addresses),
        }
    }
}

/// Seeds as addresses. What begins with an underscore, as in `_raft._tcp.example`, stands for what its SRV records say
/// now, the preferred ones first; none where they cannot be had.
pub(crate) async fn find_seeds(given: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for seed in given {
        if !seed.starts_with('_') {
            found.push(seed.clone());
            continue;
        }
        match look_up_service(seed).await {
            Ok(addresses) => found.extend(addresses),
            Err(error) => tracing::info!(name = seed, %error, "no SRV records are found"),
        }
    }
    found
}

async fn look_up_service(name: &str) -> Result<Vec<String>, NetError> {
    // Made anew each time: the system's name servers may be others by now.
    let mut builder = TokioResolver::builder_tokio()?;
    (builder.options_mut().timeout, builder.options_mut().attempts) = (SRV_TIMEOUT, SRV_ATTEMPTS);
    let answer = builder.build()?.srv_lookup(name).await?;
    let mut records: Vec<&SRV> = answer
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(record) => Some(record),
            _ => None,
        })
        .collect();
    records.sort_by_key(|record| (record.priority, Reverse(record.weight)));
    let address = |record: &SRV| format!("{}:{}", record.target.to_utf8().trim_end_matches('.'), record.port);
    Ok(records.into_iter().map(address).collect())
}

async fn look_up_one(address: &str) -> io::Result<Vec<SocketAddr>> {
    // An address needs nobody to look it up, and no thread.
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    Ok(lookup_host(address).await?.collect())
}

/// Tries the addresses in their order, each beside those before it after a moment; the first that answers wins.
async fn race(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let (first, rest) = match addresses {
        [] => return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
        [only] => return TcpStream::connect(only).await,
        [first, rest @ ..] => (*first, rest),
    };
    let mut trying = JoinSet::new();
    trying.spawn(async move { TcpStream::connect(first).await });
    for (place, address) in (1..).zip(rest.iter().copied()) {
        trying.spawn(async move {
            sleep(STAGGER * place).await;
            TcpStream::connect(address).await
        });
    }
    let mut failed = io::Error::new(io::ErrorKind::NotConnected, "no address answers");
    while let Some(tried) = trying.join_next().await {
        match tried {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            Err(_) => {}
        }
    }
    Err(failed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(1);

    /// Nobody answers there and nobody refuses: reserved for documentation.
    const NOWHERE: &str = "192.0.2.1:9";

    #[tokio::test]
    async fn a_member_is_found_where_the_configuration_says_if_it_is_not_where_the_membership_says() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        for elsewhere in [closed.as_str(), NOWHERE, "no-such-host.invalid:1"] {
            let found = NodeDiscovery::new(elsewhere.to_owned(), Some(here.to_string()));
            assert_eq!(found.connect(WITHIN).await.unwrap().peer_addr().unwrap(), here, "{elsewhere}");
        }
    }

    #[tokio::test]
    async fn an_address_where_somebody_else_answers_is_tried_last_from_then_on() {
        let (stranger, member) = (
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        );
        let at = |listener: &TcpListener| listener.local_addr().unwrap();
        let discovery = NodeDiscovery::new(at(&stranger).to_string(), Some(at(&member).to_string()));
        assert_eq!(discovery.connect(WITHIN).await.unwrap().peer_addr().unwrap(), at(&stranger));
        discovery.met_a_stranger();
        assert_eq!(discovery.connect(WITHIN).await.unwrap().peer_addr().unwrap(), at(&member));
    }

    #[tokio::test]
    async fn a_name_that_has_several_addresses_is_reached_at_the_one_that_answers() {
        // Bound to one of the two that the name has on most machines.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let discovery = NodeDiscovery::new(format!("localhost:{port}"), None);
        assert_eq!(discovery.connect(WITHIN).await.unwrap().peer_addr().unwrap().port(), port);
    }

    #[tokio::test]
    async fn nobody_anywhere_is_an_error_in_time() {
        let nowhere = NodeDiscovery::new(NOWHERE.to_owned(), None);
        let began = std::time::Instant::now();
        assert!(nowhere.connect(Duration::from_millis(100)).await.is_err());
        assert!(began.elapsed() < Duration::from_secs(1));
        let unnamed = NodeDiscovery::new("no-such-host.invalid:1".to_owned(), None);
        assert!(unnamed.connect(WITHIN).await.is_err());
    }
}
