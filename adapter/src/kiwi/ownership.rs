//! Ownership and fencing markers on Kiwi: whose data it holds, and how much of it.
//!
//! The sequence number of the last flush is stored on Kiwi under several keys, enough that every RocksDB instance
//! of Kiwi holds at least one. An instance writes in order. If its marker is that of the last flush after a
//! restart, it has lost nothing; an older marker, or none, means that it was wiped, restored from a copy, or has
//! lost its tail.

use redis_protocol::resp2::types::BytesFrame;

use super::client::{Client, Request, RequestError, bulk};
use crate::RESERVED;
use crate::embedded::offload::worker_state::WorkerState;

/// The number of markers: with three instances, the odds that one has none are 1 in 500.
const MARKERS: usize = 16;

/// What the markers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ownership {
    /// Kiwi is empty.
    Empty,
    /// All markers are this node's and up to date.
    Ours,
    /// Data is missing.
    Behind(String),
    /// The markers are this node's, of a flush that it does not know of.
    Ahead(String),
    /// The data is another node's.
    Foreign(String),
    /// There is data without any marker.
    Unmarked(String),
    /// There is data that this node has adopted, and no other marker.
    Adopted(String),
}

fn key(number: usize) -> Vec<u8> {
    [RESERVED, b"mark:", number.to_string().as_bytes()].concat()
}

/// The key of the marker that names the adopter. It goes with the data, when Kiwi is emptied for the refill.
fn adopted_key() -> Vec<u8> {
    [RESERVED, b"adopted"].concat()
}

fn adopter_marker(state: &WorkerState) -> String {
    format!("{:032x}", state.owner)
}

/// Marks the data as adopted.
pub(super) async fn set_adopted(client: &Client, state: &WorkerState) -> Result<(), RequestError> {
    client.call(Request::new(&[b"SET", &adopted_key(), adopter_marker(state).as_bytes()])).await.map(drop)
}

fn marker(state: &WorkerState) -> String {
    format!("{:032x}:{}", state.owner, state.sequence)
}

/// Advances the markers by one flush. False if they did not name the flush before: this detects a Kiwi that was
/// emptied between two flushes.
pub(super) async fn advance(client: &Client, state: &WorkerState) -> Result<bool, RequestError> {
    let value = marker(state);
    let swap = Request::new(&[b"GETSET", &key(0), value.as_bytes()]);
    let (old, set) = tokio::join!(client.call(swap), set_from(client, state, 1));
    set?;
    let old = bulk(old?);
    let before = marker(&WorkerState { sequence: state.sequence.saturating_sub(1), ..state.clone() });
    // An earlier attempt of this flush may have come this far.
    Ok(old.is_some_and(|old| old == before || old == value))
}

/// Marks an empty Kiwi as this node's before anything else is written to it, though it is to be emptied and refilled:
/// whatever is left there by a crash would be data without an owner. The markers are older than any flush.
pub(super) async fn claim(client: &Client, state: &WorkerState) -> Result<(), RequestError> {
    set(client, &WorkerState { sequence: 0, ..state.clone() }).await
}

/// Sets the markers unconditionally.
pub(super) async fn set(client: &Client, state: &WorkerState) -> Result<(), RequestError> {
    set_from(client, state, 0).await
}

async fn set_from(client: &Client, state: &WorkerState, first: usize) -> Result<(), RequestError> {
    let value = marker(state);
    let mut request = Request::new(&[b"MSET"]);
    for number in first..MARKERS {
        request.push(&key(number));
        request.push(value.as_bytes());
    }
    client.call(request).await.map(drop)
}

/// Reads the markers. The flush after the last confirmed one may have arrived too.
pub(super) async fn read(client: &Client, state: &WorkerState) -> Result<Ownership, RequestError> {
    let mut request = Request::new(&[b"MGET"]);
    (0..MARKERS).for_each(|number| request.push(&key(number)));
    let BytesFrame::Array(values) = client.call(request).await? else {
        return Ok(Ownership::Foreign(format!("{} does not answer MGET as Kiwi does", client.address())));
    };
    let found: Vec<Option<String>> = values
        .into_iter()
        .map(|value| bulk(value).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        .collect();
    if found.iter().all(Option::is_none) {
        return unmarked(client, state).await;
    }
    for value in &found {
        let Some((owner, sequence)) = value.as_deref().and_then(|value| value.split_once(':')) else {
            return Ok(Ownership::Behind(format!("{} has lost some of this node's data", client.address())));
        };
        if owner != format!("{:032x}", state.owner) {
            return Ok(Ownership::Foreign(format!(
                "{} holds the data of another node; give this node a Kiwi of its own, or an empty one",
                client.address()
            )));
        }
        let sequence: u64 = sequence.parse().unwrap_or(0);
        if sequence < state.sequence {
            return Ok(Ownership::Behind(format!(
                "{} has the data of flush {sequence} and not of flush {}: it has lost its newest writes, or an older copy was \
                 put in its place",
                client.address(),
                state.sequence
            )));
        }
        if sequence > state.sequence + 1 {
            return Ok(Ownership::Ahead(format!(
                "{} is ahead of this node's own data: flush {sequence} and not {}",
                client.address(),
                state.sequence
            )));
        }
    }
    Ok(Ownership::Ours)
}

/// Classifies a Kiwi without markers.
async fn unmarked(client: &Client, state: &WorkerState) -> Result<Ownership, RequestError> {
    let address = client.address();
    if is_empty(client).await? {
        return Ok(Ownership::Empty);
    }
    let reason = format!(
        "{address} holds data without this node's mark; give the node an empty Kiwi (FLUSHALL, or another data-dir), or \
         make that data the cluster's: RAFT.CLUSTER INIT ADOPT on this node"
    );
    let found = client.call(Request::new(&[b"GET", &adopted_key()])).await?;
    let is_adopted = bulk(found).is_some_and(|found| *found == *adopter_marker(state).as_bytes());
    Ok(if is_adopted { Ownership::Adopted(reason) } else { Ownership::Unmarked(reason) })
}

/// Whether Kiwi holds no key at all.
async fn is_empty(client: &Client) -> Result<bool, RequestError> {
    match client.call(Request::new(&[b"RANDOMKEY"])).await? {
        BytesFrame::Null => Ok(true),
        reply => Ok(bulk(reply).is_none_or(|key| key.is_empty())),
    }
}
