//! Fetching values from Kiwi: what many readers lack at the same time travels in common requests.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use redis_protocol::resp2::types::BytesFrame;
use tokio::runtime::Handle;
use tokio::sync::{RwLock, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::at_hand::ValueCache;
use super::client::{Client, Trouble};
use super::command::{Request, SAFE_ARGS};
use super::link::Link;
use crate::RESERVED;
use crate::embedded::EmbeddedAdapter;
use crate::embedded::encoding::{CHUNK, Stub};
use crate::embedded::source::{Need, Part, Place, Whole};
use crate::error::StorageError;

/// Kiwi waits 10 ms for more requests, unless it has this many: then it begins at once.
const BATCH: usize = 100;
/// Rounds of fetching on their way at once, where Kiwi's wait is not cut short: a reader that comes while there are fewer
/// does not wait for others. Where it is cut short there is one, and those who come meanwhile share the next.
const ROUNDS: usize = 128;
/// Needs that are taken together at most.
const TAKEN: usize = 4096;

/// A value, or none where Kiwi had something else.
pub(super) type Found = (Need, Option<Bytes>);

/// Why values are not at hand.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// There is no connection to Kiwi.
    #[error("the storage is not connected: {0}")]
    Down(String),
    /// The request failed.
    #[error("the storage does not answer: {0}")]
    Trouble(#[from] Trouble),
    /// The store beside failed.
    #[error(transparent)]
    Store(#[from] StorageError),
}

struct Asked {
    needs: Vec<Need>,
    answer: oneshot::Sender<Result<Vec<Found>, FetchError>>,
}

/// Fetches values.
#[derive(Clone)]
pub(super) struct Fetcher {
    asked: mpsc::UnboundedSender<Asked>,
    worker: Arc<Worker>,
}

struct Worker {
    client: Arc<Client>,
    index: Arc<EmbeddedAdapter>,
    link: watch::Receiver<Link>,
    cache: Arc<ValueCache>,
    /// Held by whoever moves the elements of lists on Kiwi.
    lists: Arc<RwLock<()>>,
    /// Requests are filled up to [`BATCH`].
    hurry: bool,
}

impl Fetcher {
    pub(super) fn new(
        client: Arc<Client>,
        index: Arc<EmbeddedAdapter>,
        link: watch::Receiver<Link>,
        cache: Arc<ValueCache>,
        lists: Arc<RwLock<()>>,
        hurry: bool,
    ) -> Self {
        let (asked, asking) = mpsc::unbounded_channel();
        let worker = Arc::new(Worker { client, index, link, cache, lists, hurry });
        Handle::current().spawn(Arc::clone(&worker).run(asking));
        Self { asked, worker }
    }

    /// The values. They come from Kiwi as it is at some moment between the call and the answer, and are what their stubs
    /// say.
    pub(super) async fn fetch(&self, needs: Vec<Need>) -> Result<Vec<Found>, FetchError> {
        self.worker.check_link()?;
        let (answer, answered) = oneshot::channel();
        let gone = || FetchError::Down("the node is stopping".to_owned());
        self.asked.send(Asked { needs, answer }).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Puts all values of a key's content into the store. Answers one that was not found, if there is one.
    pub(super) async fn bring_home(&self, whole: &Whole) -> Result<Option<Need>, FetchError> {
        let Some(family) = whole.family() else { return Ok(None) };
        let (mut behind, mut missing) = (None::<Vec<u8>>, None);
        loop {
            let store = self.worker.index.store();
            let away = store.away(whole, behind.as_deref())?;
            let Some(last) = away.last() else { return Ok(missing) };
            behind = Some(last.at.clone());
            let found = self.fetch(away.iter().map(|away| away.need.clone()).collect()).await?;
            let first = found.iter().find(|(_, value)| value.is_none()).map(|(need, _)| need.clone());
            missing = missing.or(first);
            let values: Vec<_> = away
                .into_iter()
                .zip(found)
                .filter_map(|(away, (_, value))| Some((away.at, away.need.1, value?)))
                .collect();
            store.restore(family, &values)?;
        }
    }
}

/// A request, and how its reply is divided.
struct Question {
    request: Request,
    parts: Parts,
}

enum Parts {
    /// An array with one value for each.
    Each(Vec<Need>),
    /// One string in which each begins at its offset.
    Slices(Vec<(usize, Need)>),
}

impl Worker {
    fn check_link(&self) -> Result<(), FetchError> {
        self.link.borrow().check().map_err(FetchError::Down)
    }

    async fn run(self: Arc<Self>, mut asking: mpsc::UnboundedReceiver<Asked>) {
        let rounds = Arc::new(Semaphore::new(if self.hurry { 1 } else { ROUNDS }));
        let mut taken = Vec::new();
        loop {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&rounds).acquire_owned().await else { return };
            if asking.recv_many(&mut taken, TAKEN).await == 0 {
                return;
            }
            let (worker, asked) = (Arc::clone(&self), std::mem::take(&mut taken));
            tokio::spawn(async move {
                worker.round(asked).await;
                drop(permit);
            });
        }
    }

    async fn round(self: Arc<Self>, asked: Vec<Asked>) {
        // Readers of a hot key lack the same values: sorted is only what is left of them.
        let different: HashSet<&Need> = asked.iter().flat_map(|asked| &asked.needs).collect();
        let mut all: Vec<Need> = different.into_iter().cloned().collect();
        all.sort_by_cached_key(|(place, _)| order(place));
        match self.find(all).await {
            Ok(found) => {
                for Asked { needs, answer } in asked {
                    let mine = needs.into_iter().map(|need| {
                        let value = found
                            .get(&need.0)
                            .and_then(|(stub, value)| (*stub == need.1).then(|| value.clone()));
                        (need, value)
                    });
                    // Whoever asked may be gone.
                    let _ = answer.send(Ok(mine.collect()));
                }
            }
            Err(error) => {
                for Asked { answer, .. } in asked {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }

    async fn find(self: &Arc<Self>, needs: Vec<Need>) -> Result<HashMap<Place, (Stub, Bytes)>, FetchError> {
        // Elements are found by their index, which moves while the carrier changes a list.
        let lists = Arc::clone(&self.lists);
        let _still = if needs.iter().any(|(place, _)| matches!(place.part, Part::Element(..))) {
            Some(lists.read().await)
        } else {
            None
        };
        let questions = self.questions(needs)?;
        let filling = if self.hurry { BATCH.saturating_sub(questions.len()) } else { 0 };
        let mut asking = JoinSet::new();
        for question in questions {
            let worker = Arc::clone(self);
            asking.spawn(async move {
                let reply = worker.client.call(question.request).await?;
                Ok::<_, Trouble>(divide(question.parts, reply))
            });
        }
        for _ in 0..filling {
            let worker = Arc::clone(self);
            // What it answers is of no matter.
            tokio::spawn(async move { worker.client.call(Request::new(&[b"EXISTS", RESERVED])).await });
        }
        let mut found = HashMap::new();
        while let Some(answered) = asking.join_next().await {
            let answered = answered.map_err(|error| FetchError::Down(error.to_string()))??;
            for ((place, stub), value) in answered {
                if Stub::of(&value) == stub {
                    // A copy: the value is a part of the reply, all of which would stay in memory with it.
                    self.cache.put(place.clone(), stub, Bytes::copy_from_slice(&value));
                    found.insert(place, (stub, value));
                }
            }
        }
        Ok(found)
    }

    /// The requests for sorted needs.
    fn questions(&self, needs: Vec<Need>) -> Result<Vec<Question>, StorageError> {
        let store = self.index.store();
        let mut questions: Vec<Question> = Vec::new();
        let mut group: Vec<(u64, Need)> = Vec::new();
        let mut close = |group: &mut Vec<(u64, Need)>| {
            if !group.is_empty() {
                questions.extend(question(std::mem::take(group)));
            }
        };
        let (mut bytes, most) = (0, self.client.safe_reply());
        for need in needs {
            let index = match &need.0.part {
                Part::String | Part::Field(..) => 0,
                Part::Piece(_, number) => *number,
                Part::Element(version, place) => {
                    let placed = store.placed(&need.0.key)?.filter(|placed| placed.version == *version);
                    // It is not there yet, or no longer: it is not found.
                    let Some(placed) = placed.filter(|placed| *place >= placed.head) else { continue };
                    place - placed.head
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
        Ok(questions)
    }
}

/// The request for a group that fits into one.
fn question(group: Vec<(u64, Need)>) -> Option<Question> {
    let (first, (place, _)) = group.first()?;
    let (last, (_, last_stub)) = group.last()?;
    let key = place.key.clone();
    let number = |number: u64| number.to_string().into_bytes();
    match place.part {
        Part::String => {
            let mut request = Request::new(&[b"MGET"]);
            group.iter().for_each(|(_, (place, _))| request.push(&place.key));
            Some(Question { request, parts: Parts::Each(needs(group)) })
        }
        Part::Field(..) => {
            let mut request = Request::new(&[b"HMGET", &key]);
            for (_, (place, _)) in &group {
                if let Part::Field(_, field) = &place.part {
                    request.push(field);
                }
            }
            Some(Question { request, parts: Parts::Each(needs(group)) })
        }
        Part::Element(..) => {
            let request = Request::new(&[b"LRANGE", &key, &number(*first), &number(*last)]);
            Some(Question { request, parts: Parts::Each(needs(group)) })
        }
        Part::Piece(..) => {
            let (start, end) = (first * CHUNK, last * CHUNK + last_stub.len);
            let request = Request::new(&[b"GETRANGE", &key, &number(start), &number(end.saturating_sub(1))]);
            let slices = group.into_iter().map(|(number, need)| ((number * CHUNK - start) as usize, need));
            Some(Question { request, parts: Parts::Slices(slices.collect()) })
        }
    }
}

fn needs(group: Vec<(u64, Need)>) -> Vec<Need> {
    group.into_iter().map(|(_, need)| need).collect()
}

/// The values in a reply. What is not there, or is of another form, is left out.
fn divide(parts: Parts, reply: BytesFrame) -> Vec<(Need, Bytes)> {
    match (parts, reply) {
        (Parts::Each(needs), BytesFrame::Array(values)) => {
            needs.into_iter().zip(values).filter_map(|(need, value)| Some((need, bulk(value)?))).collect()
        }
        (Parts::Slices(slices), reply) => {
            let Some(whole) = bulk(reply) else { return Vec::new() };
            let slice = |(start, need): (usize, Need)| {
                let end = start + need.1.len as usize;
                (end <= whole.len()).then(|| (need, whole.slice(start..end)))
            };
            slices.into_iter().filter_map(slice).collect()
        }
        _ => Vec::new(),
    }
}

/// The bytes of a string reply.
pub(super) fn bulk(reply: BytesFrame) -> Option<Bytes> {
    match reply {
        BytesFrame::BulkString(bytes) | BytesFrame::SimpleString(bytes) => Some(bytes),
        _ => None,
    }
}

/// What sorts needs such that those that can share a request are neighbours.
type Order = (u8, Bytes, u64, u64, Bytes);

fn order(place: &Place) -> Order {
    let key = place.key.clone();
    match &place.part {
        Part::String => (0, key, 0, 0, Bytes::new()),
        Part::Field(version, field) => (1, key, *version, 0, field.clone()),
        Part::Piece(version, number) => (2, key, *version, *number, Bytes::new()),
        Part::Element(version, place) => (3, key, *version, *place, Bytes::new()),
    }
}
