//! Fetches values from Kiwi. What concurrent readers are missing shares requests.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use redis_protocol::resp2::types::BytesFrame;
use tokio::runtime::Handle;
use tokio::sync::{RwLock, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::client::{Client, Request, RequestError, SAFE_ARGS, bulk};
use super::connection_state::ConnectionState;
use super::value_cache::ValueCache;
use crate::RESERVED;
use crate::embedded::EmbeddedAdapter;
use crate::embedded::db::schema::CHUNK;
use crate::embedded::offload::remote::{ContentId, Part, RemoteValue, ValueId};
use crate::embedded::offload::value_ref::ValuePointer;
use crate::error::StorageError;

/// Kiwi waits 10 ms to batch requests, unless it has this many: then it starts at once.
const KIWI_BATCH: usize = 100;
/// Fetch rounds in flight at once, so that a reader rarely waits for others. With `storage.hurry` there is one at a
/// time, and readers that arrive meanwhile share the next.
const ROUNDS: usize = 128;
/// Fetch requests taken into one round at most.
const MAX_TAKEN: usize = 4096;

/// A remote value and its bytes; none if Kiwi has something else there.
pub(super) type Found = (RemoteValue, Option<Bytes>);

/// Why values could not be fetched.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// There is no connection to Kiwi.
    #[error("the storage is not connected: {0}")]
    NotConnected(String),
    /// The request failed.
    #[error("the storage does not answer: {0}")]
    Request(#[from] RequestError),
    /// The index failed.
    #[error(transparent)]
    Store(#[from] StorageError),
}

struct FetchRequest {
    needs: Vec<RemoteValue>,
    answer: oneshot::Sender<Result<Vec<Found>, FetchError>>,
}

/// Fetches values. Cheap to clone.
#[derive(Clone)]
pub(super) struct Fetcher {
    requests: mpsc::UnboundedSender<FetchRequest>,
    fetch_loop: Arc<FetchLoop>,
}

struct FetchLoop {
    client: Arc<Client>,
    index: Arc<EmbeddedAdapter>,
    connection: watch::Receiver<ConnectionState>,
    cache: Arc<ValueCache>,
    /// Held for writing while a flush shifts the elements of lists on Kiwi.
    lists: Arc<RwLock<()>>,
    /// Rounds are padded to [`KIWI_BATCH`] requests.
    hurry: bool,
}

impl Fetcher {
    pub(super) fn new(
        client: Arc<Client>,
        index: Arc<EmbeddedAdapter>,
        connection: watch::Receiver<ConnectionState>,
        cache: Arc<ValueCache>,
        lists: Arc<RwLock<()>>,
        hurry: bool,
    ) -> Self {
        let (requests, incoming) = mpsc::unbounded_channel();
        let fetch_loop = Arc::new(FetchLoop { client, index, connection, cache, lists, hurry });
        Handle::current().spawn(Arc::clone(&fetch_loop).run(incoming));
        Self { requests, fetch_loop }
    }

    /// Fetches values as of some moment during the call. A value that does not match its pointer counts as not
    /// found.
    pub(super) async fn fetch(&self, needs: Vec<RemoteValue>) -> Result<Vec<Found>, FetchError> {
        self.fetch_loop.check_connection()?;
        let (answer, answered) = oneshot::channel();
        let gone = || FetchError::NotConnected("the node is stopping".to_owned());
        self.requests.send(FetchRequest { needs, answer }).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Brings all remote values of a key's content back into the store. Returns one that was not found, if any.
    pub(super) async fn fetch_all(&self, content: &ContentId) -> Result<Option<RemoteValue>, FetchError> {
        let Some(family) = content.family() else { return Ok(None) };
        let (mut after, mut missing) = (None::<Vec<u8>>, None);
        loop {
            let store = self.fetch_loop.index.store();
            let remote = store.remote_values_in(content, after.as_deref())?;
            let Some(last) = remote.last() else { return Ok(missing) };
            after = Some(last.at.clone());
            let found = self.fetch(remote.iter().map(|remote| remote.need.clone()).collect()).await?;
            let first = found.iter().find(|(_, value)| value.is_none()).map(|(need, _)| need.clone());
            missing = missing.or(first);
            let values: Vec<_> = remote
                .into_iter()
                .zip(found)
                .filter_map(|(remote, (_, value))| Some((remote.at, remote.need.1, value?)))
                .collect();
            store.restore(family, &values)?;
        }
    }
}

/// A request, and how its reply splits into values.
struct Query {
    request: Request,
    layout: ReplyLayout,
}

enum ReplyLayout {
    /// An array with one element per value.
    Each(Vec<RemoteValue>),
    /// One string, with the offset of each value in it.
    Slices(Vec<(usize, RemoteValue)>),
}

impl FetchLoop {
    fn check_connection(&self) -> Result<(), FetchError> {
        match self.connection.borrow().trouble() {
            None => Ok(()),
            Some(reason) => Err(FetchError::NotConnected(reason.to_owned())),
        }
    }

    async fn run(self: Arc<Self>, mut incoming: mpsc::UnboundedReceiver<FetchRequest>) {
        let rounds = Arc::new(Semaphore::new(if self.hurry { 1 } else { ROUNDS }));
        let mut taken = Vec::new();
        loop {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&rounds).acquire_owned().await else { return };
            if incoming.recv_many(&mut taken, MAX_TAKEN).await == 0 {
                return;
            }
            let (fetch_loop, requests) = (Arc::clone(&self), std::mem::take(&mut taken));
            tokio::spawn(async move {
                fetch_loop.run_round(requests).await;
                drop(permit);
            });
        }
    }

    async fn run_round(self: Arc<Self>, requests: Vec<FetchRequest>) {
        // Readers of a hot key are missing the same values, so duplicates go before the sort.
        let different: HashSet<&RemoteValue> = requests.iter().flat_map(|request| &request.needs).collect();
        let mut all: Vec<RemoteValue> = different.into_iter().cloned().collect();
        all.sort_by_cached_key(|(id, _)| sort_key(id));
        match self.fetch_round(all).await {
            Ok(found) => {
                for FetchRequest { needs, answer } in requests {
                    let mine = needs.into_iter().map(|need| {
                        let value = found
                            .get(&need.0)
                            .and_then(|(pointer, value)| (*pointer == need.1).then(|| value.clone()));
                        (need, value)
                    });
                    // The reader may be gone.
                    let _ = answer.send(Ok(mine.collect()));
                }
            }
            Err(error) => {
                for FetchRequest { answer, .. } in requests {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }

    async fn fetch_round(
        self: &Arc<Self>,
        needs: Vec<RemoteValue>,
    ) -> Result<HashMap<ValueId, (ValuePointer, Bytes)>, FetchError> {
        // List elements are fetched by index, and indices shift while a flush changes the list.
        let lists = Arc::clone(&self.lists);
        let _lists_guard = if needs.iter().any(|(id, _)| matches!(id.part, Part::Element(..))) {
            Some(lists.read().await)
        } else {
            None
        };
        let queries = self.queries(needs)?;
        let fillers = if self.hurry { KIWI_BATCH.saturating_sub(queries.len()) } else { 0 };
        let mut in_flight = JoinSet::new();
        for query in queries {
            let fetch_loop = Arc::clone(self);
            in_flight.spawn(async move {
                let reply = fetch_loop.client.call(query.request).await?;
                Ok::<_, RequestError>(split_reply(query.layout, reply))
            });
        }
        for _ in 0..fillers {
            let fetch_loop = Arc::clone(self);
            // The reply does not matter.
            tokio::spawn(async move { fetch_loop.client.call(Request::new(&[b"EXISTS", RESERVED])).await });
        }
        let mut found = HashMap::new();
        while let Some(answered) = in_flight.join_next().await {
            let answered = answered.map_err(|error| FetchError::NotConnected(error.to_string()))??;
            for ((id, pointer), value) in answered {
                if ValuePointer::of(&value) == pointer {
                    // Copied: a slice would keep the whole reply in memory.
                    self.cache.put(id.clone(), pointer, Bytes::copy_from_slice(&value));
                    found.insert(id, (pointer, value));
                }
            }
        }
        Ok(found)
    }

    /// The requests for values sorted by [`sort_key`].
    fn queries(&self, needs: Vec<RemoteValue>) -> Result<Vec<Query>, StorageError> {
        let store = self.index.store();
        let mut queries: Vec<Query> = Vec::new();
        let mut group: Vec<(u64, RemoteValue)> = Vec::new();
        let mut close = |group: &mut Vec<(u64, RemoteValue)>| {
            if !group.is_empty() {
                queries.extend(query(std::mem::take(group)));
            }
        };
        let (mut bytes, most) = (0, self.client.safe_reply());
        for need in needs {
            let index = match &need.0.part {
                Part::String | Part::Field(..) => 0,
                Part::Piece(_, number) => *number,
                Part::Element(version, place) => {
                    let placement =
                        store.placement(&need.0.key)?.filter(|placement| placement.version == *version);
                    // Not flushed yet, or no longer there: counts as not found.
                    let Some(placement) = placement.filter(|placement| *place >= placement.head) else {
                        continue;
                    };
                    place - placement.head
                }
            };
            let fits = group.last().is_none_or(|(last, (before, _))| {
                let same = before.key == need.0.key;
                bytes + need.1.len as usize <= most
                    && group.len() < SAFE_ARGS
                    && match (&before.part, &need.0.part) {
                        (Part::String, Part::String) => true,
                        (Part::Field(..), Part::Field(..)) => same,
                        (Part::Piece(..), Part::Piece(..)) | (Part::Element(..), Part::Element(..)) => {
                            same && *last + 1 == index
                        }
                        _ => false,
                    }
            });
            if !fits {
                close(&mut group);
                bytes = 0;
            }
            bytes += need.1.len as usize;
            group.push((index, need));
        }
        close(&mut group);
        Ok(queries)
    }
}

/// The request for a group of values that share one.
fn query(group: Vec<(u64, RemoteValue)>) -> Option<Query> {
    let (first, (id, _)) = group.first()?;
    let (last, (_, last_stub)) = group.last()?;
    let key = id.key.clone();
    let number = |number: u64| number.to_string().into_bytes();
    match &id.part {
        Part::String => {
            let mut request = Request::new(&[b"MGET"]);
            group.iter().for_each(|(_, (id, _))| request.push(&id.key));
            Some(Query { request, layout: ReplyLayout::Each(needs(group)) })
        }
        Part::Field(..) => {
            let mut request = Request::new(&[b"HMGET", &key]);
            for (_, (id, _)) in &group {
                if let Part::Field(_, field) = &id.part {
                    request.push(field);
                }
            }
            Some(Query { request, layout: ReplyLayout::Each(needs(group)) })
        }
        Part::Element(..) => {
            let request = Request::new(&[b"LRANGE", &key, &number(*first), &number(*last)]);
            Some(Query { request, layout: ReplyLayout::Each(needs(group)) })
        }
        Part::Piece(..) => {
            let (start, end) = (first * CHUNK, last * CHUNK + last_stub.len);
            let request = Request::new(&[b"GETRANGE", &key, &number(start), &number(end.saturating_sub(1))]);
            let slices = group.into_iter().map(|(number, need)| ((number * CHUNK - start) as usize, need));
            Some(Query { request, layout: ReplyLayout::Slices(slices.collect()) })
        }
    }
}

fn needs(group: Vec<(u64, RemoteValue)>) -> Vec<RemoteValue> {
    group.into_iter().map(|(_, need)| need).collect()
}

/// Splits a reply into values. Missing and malformed ones are left out.
fn split_reply(layout: ReplyLayout, reply: BytesFrame) -> Vec<(RemoteValue, Bytes)> {
    match (layout, reply) {
        (ReplyLayout::Each(needs), BytesFrame::Array(values)) => {
            needs.into_iter().zip(values).filter_map(|(need, value)| Some((need, bulk(value)?))).collect()
        }
        (ReplyLayout::Slices(slices), reply) => {
            let Some(whole) = bulk(reply) else { return Vec::new() };
            let slice = |(start, need): (usize, RemoteValue)| {
                let end = start + need.1.len as usize;
                (end <= whole.len()).then(|| (need, whole.slice(start..end)))
            };
            slices.into_iter().filter_map(slice).collect()
        }
        _ => Vec::new(),
    }
}

/// Sorts values that can share a request next to each other.
type SortKey = (u8, Bytes, u64, u64, Bytes);

fn sort_key(id: &ValueId) -> SortKey {
    let key = id.key.clone();
    match &id.part {
        Part::String => (0, key, 0, 0, Bytes::new()),
        Part::Field(version, field) => (1, key, *version, 0, field.clone()),
        Part::Piece(version, number) => (2, key, *version, *number, Bytes::new()),
        Part::Element(version, place) => (3, key, *version, *place, Bytes::new()),
    }
}
