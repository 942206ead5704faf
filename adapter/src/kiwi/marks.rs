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
    /// They are this node's, and of a wave that it does not know.
    Ahead(String),
    /// The data is not this node's.
    Foreign(String),
}

fn key(number: usize) -> Vec<u8> {
    [RESERVED, b"mark:", number.to_string().as_bytes()].concat()
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
        return if is_empty(client).await? {
            match carrier.wave {
                0 => Ok(Marks::Empty),
                _ => {
                    Ok(Marks::Behind(format!("{} holds none of this node's data any more", client.address())))
                }
            }
        } else {
            Ok(Marks::Foreign(format!(
                "{} holds data without this node's mark; give the node an empty Kiwi (FLUSHALL, or another data-dir)",
                client.address()
            )))
        };
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

/// Whether there is no key.
async fn is_empty(client: &Client) -> Result<bool, Trouble> {
    match client.call(Request::new(&[b"RANDOMKEY"])).await? {
        BytesFrame::Null => Ok(true),
        reply => Ok(bulk(reply).is_none_or(|key| key.is_empty())),
    }
}
