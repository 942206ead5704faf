//! Marks on Kiwi: whose data it holds, and how much of it.
//!
//! The number of the last wave that has arrived is on Kiwi under several keys, so that every RocksDB instance of Kiwi
//! has one or more of them. An instance writes in order. If after a restart its mark is that of the last wave, it has
//! lost nothing; an older one, or none, means that it was wiped, put back, or has lost its tail.

use redis_protocol::resp2::types::BytesFrame;

use super::client::{Client, Trouble};
use super::command::Request;
use super::fetch::bulk;
use crate::RESERVED;
use crate::embedded::behind::Carrier;

/// How many marks there are: with three instances, one of them has none in one case of five hundred.
const MARKS: usize = 16;

/// What the marks say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Marks {
    /// There is nothing at all on Kiwi.
    Empty,
    /// They are this node's, and none is behind.
    Ours,
    /// Data is missing.
    Behind(String),
    /// They are this node's, and of a wave that it does not know of.
    Ahead(String),
    /// The data is another node's.
    Foreign(String),
    /// There is data, and no mark of anybody.
    Unmarked(String),
    /// There is data that this node's cluster has adopted, and no other mark.
    Adopted(String),
}

fn key(number: usize) -> Vec<u8> {
    [RESERVED, b"mark:", number.to_string().as_bytes()].concat()
}

/// Says that the data is adopted, and by whom. It goes with the data, when Kiwi is emptied to be filled anew.
fn adopted_key() -> Vec<u8> {
    [RESERVED, b"adopted"].concat()
}

fn adopter(carrier: &Carrier) -> String {
    format!("{:032x}", carrier.owner)
}

/// Marks the data as adopted.
pub(super) async fn set_adopted(client: &Client, carrier: &Carrier) -> Result<(), Trouble> {
    client.call(Request::new(&[b"SET", &adopted_key(), adopter(carrier).as_bytes()])).await.map(drop)
}

fn mark(carrier: &Carrier) -> String {
    format!("{:032x}:{}", carrier.owner, carrier.wave)
}

/// Sets the marks to the carrier's wave, the one behind that which they should say. Answers whether they did: whoever
/// empties Kiwi between two waves is found out.
pub(super) async fn advance(client: &Client, carrier: &Carrier) -> Result<bool, Trouble> {
    let value = mark(carrier);
    let swap = Request::new(&[b"GETSET", &key(0), value.as_bytes()]);
    let (old, set) = tokio::join!(client.call(swap), set_from(client, carrier, 1));
    set?;
    let old = bulk(old?);
    let before = mark(&Carrier { wave: carrier.wave.saturating_sub(1), ..carrier.clone() });
    // This wave may have come as far before.
    Ok(old.is_some_and(|old| old == before || old == value))
}

/// Sets the marks to the carrier's wave, whatever they say.
pub(super) async fn set(client: &Client, carrier: &Carrier) -> Result<(), Trouble> {
    set_from(client, carrier, 0).await
}

async fn set_from(client: &Client, carrier: &Carrier, first: usize) -> Result<(), Trouble> {
    let value = mark(carrier);
    let mut request = Request::new(&[b"MSET"]);
    for number in first..MARKS {
        request.push(&key(number));
        request.push(value.as_bytes());
    }
    client.call(request).await.map(drop)
}

/// Reads them. The wave behind the last confirmed one may have arrived too.
pub(super) async fn read(client: &Client, carrier: &Carrier) -> Result<Marks, Trouble> {
    let mut request = Request::new(&[b"MGET"]);
    (0..MARKS).for_each(|number| request.push(&key(number)));
    let BytesFrame::Array(values) = client.call(request).await? else {
        return Ok(Marks::Foreign(format!("{} does not answer MGET as Kiwi does", client.address())));
    };
    let found: Vec<Option<String>> = values
        .into_iter()
        .map(|value| bulk(value).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        .collect();
    if found.iter().all(Option::is_none) {
        return unmarked(client, carrier).await;
    }
    for value in &found {
        let Some((owner, wave)) = value.as_deref().and_then(|value| value.split_once(':')) else {
            return Ok(Marks::Behind(format!("{} has lost some of this node's data", client.address())));
        };
        if owner != format!("{:032x}", carrier.owner) {
            return Ok(Marks::Foreign(format!(
                "{} holds the data of another node; give this node a Kiwi of its own, or an empty one",
                client.address()
            )));
        }
        let wave: u64 = wave.parse().unwrap_or(0);
        if wave < carrier.wave {
            return Ok(Marks::Behind(format!(
                "{} has the data of wave {wave} and not of wave {}: it has lost its newest writes, or an older copy was \
                 put in its place",
                client.address(),
                carrier.wave
            )));
        }
        if wave > carrier.wave + 1 {
            return Ok(Marks::Ahead(format!(
                "{} is ahead of this node's own data: wave {wave} and not {}",
                client.address(),
                carrier.wave
            )));
        }
    }
    Ok(Marks::Ours)
}

/// What a Kiwi without marks is.
async fn unmarked(client: &Client, carrier: &Carrier) -> Result<Marks, Trouble> {
    let address = client.address();
    if is_empty(client).await? {
        return Ok(match carrier.wave {
            0 => Marks::Empty,
            _ => Marks::Behind(format!("{address} holds none of this node's data any more")),
        });
    }
    let reason = format!(
        "{address} holds data without this node's mark; give the node an empty Kiwi (FLUSHALL, or another data-dir), or \
         make that data the cluster's: RAFT.CLUSTER INIT ADOPT on this node"
    );
    let found = client.call(Request::new(&[b"GET", &adopted_key()])).await?;
    let is_adopted = bulk(found).is_some_and(|found| *found == *adopter(carrier).as_bytes());
    Ok(if is_adopted { Marks::Adopted(reason) } else { Marks::Unmarked(reason) })
}

/// Whether there is no key.
async fn is_empty(client: &Client) -> Result<bool, Trouble> {
    match client.call(Request::new(&[b"RANDOMKEY"])).await? {
        BytesFrame::Null => Ok(true),
        reply => Ok(bulk(reply).is_none_or(|key| key.is_empty())),
    }
}
