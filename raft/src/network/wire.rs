//! The form of the bodies, in the version that a connection speaks ([`version`](super::version)). What carries
//! entries or commands is framed by hand, so that they are neither copied nor parsed on the way; the rest is
//! postcard.
//!
//! ```text
//! append  := vote | log id? prev | log id? commit | matched u64 | count u32 | entry frame * count  (see crate::codec)
//! vote    := term u64 | node u64 | committed u8
//! log id? := present u8 | term u64 | node u64 | index u64
//! propose := process u64 | deadline u64 | count u32 | group * count    (see crate::remote_clock)
//! group   := milliseconds before the deadline u32 | commands u32 | length u32 | bytes
//! appended := the answer, in postcard | promise, milliseconds, in postcard
//! ```
//! In version 1 an append has no `matched` ([`matched`](super::matched)). All numbers are little-endian.

use std::time::Duration;

use adapter::CommandBuffer;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use openraft::{CommittedLeaderId, LeaderId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::message::Forwarded;
use super::version::{Bodies, Version};
use crate::TypeConfig;
use crate::codec::decode_entry;
use crate::remote_clock::Reading;
use crate::types::{LogId, NodeId, Vote};

/// Bytes of an append body before its entries, in version 1; and of what stands there besides from version 2 on.
const APPEND_HEADER: usize = 17 + 25 + 25 + 4;
const MATCHED: usize = 8;

/// A body does not have the form it must have.
#[derive(Debug, thiserror::Error)]
#[error("malformed body: {0}")]
pub(crate) struct Malformed(pub(crate) String);

/// An entry of a later leader than the one whose vote the request has. A leader that was deposed may read its
/// successor's entries from its own log before it knows of them (openraft 0.9.25); under its own vote they would be
/// taken for entries that it has replicated. Whatever comes before them in the log is checked by the entry itself.
pub(crate) fn newer_than_vote(rpc: &AppendEntriesRequest<TypeConfig>) -> Option<LogId> {
    let ids = rpc.entries.iter().map(|entry| entry.log_id).chain(rpc.prev_log_id);
    ids.into_iter().find(|id| id.leader_id > rpc.vote.leader_id)
}

/// An append request as it arrives.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) rpc: AppendEntriesRequest<TypeConfig>,
    /// The index up to which the leader knows the receiver's log to match its own; 0 if it does not say.
    pub(crate) matched: u64,
}

/// Encodes everything but the entries of an append request, behind which come so many, to a follower whose log is
/// known to match up to `matched`.
pub(crate) fn append_header(
    version: Version,
    rpc: &AppendEntriesRequest<TypeConfig>,
    matched: u64,
    entries: usize,
) -> Bytes {
    let mut out = BytesMut::with_capacity(APPEND_HEADER + MATCHED);
    put_vote(&rpc.vote, &mut out);
    put_log_id(rpc.prev_log_id.as_ref(), &mut out);
    put_log_id(rpc.leader_commit.as_ref(), &mut out);
    match version.bodies() {
        Bodies::V1 => {}
        Bodies::V2 => out.put_u64_le(matched),
    }
    out.put_u32_le(entries as u32);
    out.freeze()
}

/// Decodes an append request; the entries' batches are slices of `body`. One with an entry that is newer than its
/// vote is refused.
pub(crate) fn decode_append(version: Version, mut body: Bytes) -> Result<Append, Malformed> {
    let says_matched = match version.bodies() {
        Bodies::V1 => false,
        Bodies::V2 => true,
    };
    if body.len() < APPEND_HEADER + if says_matched { MATCHED } else { 0 } {
        return Err(Malformed("shorter than its header".to_owned()));
    }
    let vote = get_vote(&mut body);
    let prev_log_id = get_log_id(&mut body);
    let leader_commit = get_log_id(&mut body);
    let matched = if says_matched { body.get_u64_le() } else { 0 };
    let count = body.get_u32_le();
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(decode_entry(&mut body).map_err(|error| Malformed(error.to_string()))?);
    }
    if !body.is_empty() {
        return Err(Malformed("bytes after the last entry".to_owned()));
    }
    let rpc = AppendEntriesRequest { vote, prev_log_id, entries, leader_commit };
    match newer_than_vote(&rpc) {
        None => Ok(Append { rpc, matched }),
        Some(entry) => {
            tracing::warn!(vote = %rpc.vote, %entry, "an append was refused: its entry is newer than its vote");
            Err(Malformed(format!("the entry {entry} is newer than the vote {}", rpc.vote)))
        }
    }
}

/// Encodes the answer to an append request, and how long the follower, if it has taken it, votes for nobody else.
pub(crate) fn encode_appended(answer: &AppendEntriesResponse<NodeId>, promise: Duration) -> Vec<u8> {
    encode(&(answer, u32::try_from(promise.as_millis()).unwrap_or(0)))
}

/// Decodes the answer to an append request. One without a promise promises nothing.
pub(crate) fn decode_appended(body: &[u8]) -> Result<(AppendEntriesResponse<NodeId>, Duration), Malformed> {
    let malformed = |error: postcard::Error| Malformed(error.to_string());
    let (answer, rest) = postcard::take_from_bytes(body).map_err(malformed)?;
    let promise_ms: u32 = if rest.is_empty() { 0 } else { postcard::from_bytes(rest).map_err(malformed)? };
    Ok((answer, Duration::from_millis(promise_ms.into())))
}

/// Encodes a vote.
pub(crate) fn encode_vote(vote: &Vote) -> Bytes {
    let mut out = BytesMut::with_capacity(17);
    put_vote(vote, &mut out);
    out.freeze()
}

/// Decodes a vote.
pub(crate) fn decode_vote(mut body: Bytes) -> Result<Vote, Malformed> {
    if body.len() != 17 {
        return Err(Malformed("a vote has 17 bytes".to_owned()));
    }
    Ok(get_vote(&mut body))
}

/// Encodes groups of commands for the leader. Each has to be proposed so much before `deadline`, by the leader's clock,
/// or not at all.
pub(crate) fn encode_groups<'a>(
    deadline: Reading,
    groups: impl ExactSizeIterator<Item = (Duration, &'a CommandBuffer)>,
) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u64_le(deadline.process);
    out.put_u64_le(deadline.ms);
    out.put_u32_le(groups.len() as u32);
    for (earlier, group) in groups {
        out.reserve(12 + group.bytes().len());
        out.put_u32_le(u32::try_from(earlier.as_millis()).unwrap_or(u32::MAX));
        out.put_u32_le(group.count());
        out.put_u32_le(group.bytes().len() as u32);
        out.put_slice(group.bytes());
    }
    out.freeze()
}

/// Decodes groups of commands for the leader, each with its deadline.
pub(crate) fn decode_groups(mut body: &[u8]) -> Result<Vec<Forwarded>, Malformed> {
    let cut = |_| Malformed("cut short".to_owned());
    let process = body.try_get_u64_le().map_err(cut)?;
    let deadline = Reading { process, ms: body.try_get_u64_le().map_err(cut)? };
    let count = body.try_get_u32_le().map_err(cut)?;
    let mut groups = Vec::new();
    for _ in 0..count {
        let earlier = Duration::from_millis(body.try_get_u32_le().map_err(cut)?.into());
        let commands = body.try_get_u32_le().map_err(cut)?;
        let length = body.try_get_u32_le().map_err(cut)? as usize;
        let Some((bytes, rest)) = body.split_at_checked(length) else {
            return Err(Malformed("cut short".to_owned()));
        };
        body = rest;
        let group = CommandBuffer::decode(bytes, commands).map_err(|error| Malformed(error.to_string()))?;
        groups.push((deadline.earlier(earlier), group));
    }
    if body.is_empty() { Ok(groups) } else { Err(Malformed("bytes after the last group".to_owned())) }
}

/// Encodes with postcard. The types here are plain data, for which it has no errors; were there one, the peer
/// would refuse the empty body.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).unwrap_or_default()
}

/// Decodes with postcard.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Malformed> {
    postcard::from_bytes(body).map_err(|error| Malformed(error.to_string()))
}

fn put_vote(vote: &Vote, out: &mut BytesMut) {
    out.put_u64_le(vote.leader_id.term);
    out.put_u64_le(vote.leader_id.node_id);
    out.put_u8(u8::from(vote.committed));
}

fn get_vote(body: &mut Bytes) -> Vote {
    let leader_id = LeaderId::new(body.get_u64_le(), body.get_u64_le());
    Vote { leader_id, committed: body.get_u8() != 0 }
}

fn put_log_id(log_id: Option<&LogId>, out: &mut BytesMut) {
    out.put_u8(u8::from(log_id.is_some()));
    let log_id = log_id.copied().unwrap_or_default();
    out.put_u64_le(log_id.leader_id.term);
    out.put_u64_le(log_id.leader_id.node_id);
    out.put_u64_le(log_id.index);
}

fn get_log_id(body: &mut Bytes) -> Option<LogId> {
    let present = body.get_u8() != 0;
    let leader_id = CommittedLeaderId::new(body.get_u64_le(), body.get_u64_le());
    let log_id = LogId::new(leader_id, body.get_u64_le());
    present.then_some(log_id)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::codec::encode_entry;
    use crate::types::Entry;
    use adapter::Batch;
    use openraft::EntryPayload;

    const V1: Version = Version::of(1);
    const V2: Version = Version::of(2);

    fn request() -> AppendEntriesRequest<TypeConfig> {
        let id = |index| LogId::new(CommittedLeaderId::new(3, 2), index);
        let mut group = CommandBuffer::default();
        group.push(&[b"SET", b"k", b"v"]);
        let batch = Batch::new(1, 2, [&group]);
        AppendEntriesRequest {
            vote: Vote::new_committed(3, 2),
            prev_log_id: Some(id(6)),
            entries: vec![
                Entry { log_id: id(7), payload: EntryPayload::Blank },
                Entry { log_id: id(8), payload: EntryPayload::Normal(batch) },
            ],
            leader_commit: None,
        }
    }

    fn encoded(version: Version, rpc: &AppendEntriesRequest<TypeConfig>) -> Bytes {
        let mut body = BytesMut::from(&append_header(version, rpc, 5, rpc.entries.len())[..]);
        rpc.entries.iter().for_each(|entry| encode_entry(entry, &mut body));
        body.freeze()
    }

    #[test]
    fn an_append_request_arrives_as_it_left() {
        let rpc = request();
        for (version, says) in [(V1, 0), (V2, 5)] {
            let Append { rpc: seen, matched } = decode_append(version, encoded(version, &rpc)).unwrap();
            assert_eq!((format!("{rpc:?}"), says), (format!("{seen:?}"), matched));
        }
    }

    #[test]
    fn the_append_of_version_1_has_the_bytes_that_it_always_had() {
        let header = append_header(V1, &request(), 5, 2);
        assert_eq!(header.len(), 71);
        assert_eq!(header[67..], [2, 0, 0, 0], "the number of entries right behind the log ids");
    }

    #[test]
    fn a_deposed_leaders_append_with_its_successors_entries_is_refused() {
        let id = |term, node, index| LogId::new(CommittedLeaderId::new(term, node), index);
        let mut rpc = request();
        rpc.entries.push(Entry { log_id: id(4, 1, 9), payload: EntryPayload::Blank });
        assert_eq!(newer_than_vote(&rpc), Some(id(4, 1, 9)));
        let refused = decode_append(V2, encoded(V2, &rpc)).unwrap_err().to_string();
        assert!(refused.contains("is newer than the vote"), "{refused}");
        // Of the same term, as ids of leaders are ordered; and right behind one of them.
        rpc.entries = vec![Entry { log_id: id(3, 3, 7), payload: EntryPayload::Blank }];
        assert!(decode_append(V2, encoded(V2, &rpc)).is_err());
        (rpc.entries, rpc.prev_log_id) = (Vec::new(), Some(id(4, 1, 8)));
        assert!(decode_append(V2, encoded(V2, &rpc)).is_err());
        rpc.vote = Vote::new_committed(4, 1);
        assert!(decode_append(V2, encoded(V2, &rpc)).is_ok());
    }

    #[test]
    fn bodies_cut_anywhere_are_errors_and_not_panics() {
        for version in [V1, V2] {
            let body = encoded(version, &request());
            for length in 0..body.len() {
                assert!(decode_append(version, body.slice(..length)).is_err(), "cut at {length}");
            }
        }
        let mut group = CommandBuffer::default();
        group.push(&[b"GET", b"k"]);
        let deadline = Reading { process: 3, ms: 700 };
        let earlier = [0, 40].map(Duration::from_millis);
        let body = encode_groups(deadline, earlier.into_iter().zip([&group, &group]));
        for length in 0..body.len() {
            assert!(decode_groups(&body[..length]).is_err(), "cut at {length}");
        }
        let groups = decode_groups(&body).unwrap();
        let deadlines: Vec<Reading> = groups.iter().map(|(deadline, _)| *deadline).collect();
        assert_eq!(deadlines, [deadline, Reading { ms: 660, ..deadline }]);
        assert!(groups.iter().all(|(_, arrived)| arrived.bytes() == group.bytes()));
    }

    #[test]
    fn an_answer_arrives_with_its_promise_and_one_without_promises_nothing() {
        let promise = Duration::from_millis(600);
        for answer in [AppendEntriesResponse::Success, AppendEntriesResponse::HigherVote(Vote::new(5, 9))] {
            let body = encode_appended(&answer, promise);
            let (seen, promised) = decode_appended(&body).unwrap();
            assert_eq!((format!("{seen:?}"), promised), (format!("{answer:?}"), promise));
            assert_eq!(decode_appended(&encode(&answer)).unwrap().1, Duration::ZERO);
            // What does not know of promises reads the answer alone.
            assert!(decode::<AppendEntriesResponse<NodeId>>(&body).is_ok());
        }
        assert!(decode_appended(&[]).is_err());
    }

    #[test]
    fn a_vote_arrives_as_it_left() {
        let vote = Vote::new(5, 9);
        assert_eq!(decode_vote(encode_vote(&vote)).unwrap(), vote);
        assert!(decode_vote(Bytes::from_static(b"short")).is_err());
    }
}
