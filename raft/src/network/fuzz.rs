//! Append requests as bytes, for the fuzz targets.

use adapter::Batch;
use bytes::{Bytes, BytesMut};
use openraft::raft::AppendEntriesRequest;
use openraft::{CommittedLeaderId, EntryPayload, Membership};

use super::version::Version;
use super::wire::{Append, append_header, decode_append};
use crate::TypeConfig;
use crate::codec::encode_entry;
use crate::types::{Entry, LogId, Members, Peer, TargetRole, Vote};

fn encode(version: Version, rpc: &AppendEntriesRequest<TypeConfig>, matched: u64) -> Bytes {
    let mut body = BytesMut::from(&append_header(version, rpc, matched, rpc.entries.len())[..]);
    rpc.entries.iter().for_each(|entry| encode_entry(entry, &mut body));
    body.freeze()
}

/// The body of an append request in a version of the protocol between nodes, decoded and encoded anew; none if it is
/// refused.
pub fn append_again(version: u16, body: Bytes) -> Option<Bytes> {
    let version = Version::of(version);
    let Append { rpc, matched } = decode_append(version, body).ok()?;
    Some(encode(version, &rpc, matched))
}

/// The body of an append request with an entry of each kind.
pub fn append_sample(version: u16, batch: Batch) -> Bytes {
    let id = |index| LogId::new(CommittedLeaderId::new(3, 2), index);
    let peer = Peer { raft: "a:1".to_owned(), target: TargetRole::Learner, ..Peer::default() };
    let membership = Membership::new(vec![[2].into()], Members::from([(2, Peer::default()), (7, peer)]));
    let payloads = [EntryPayload::Blank, EntryPayload::Normal(batch), EntryPayload::Membership(membership)];
    let entries = (7..).zip(payloads).map(|(index, payload)| Entry { log_id: id(index), payload });
    let rpc = AppendEntriesRequest {
        vote: Vote::new_committed(3, 2),
        prev_log_id: Some(id(6)),
        entries: entries.collect(),
        leader_commit: Some(id(5)),
    };
    encode(Version::of(version), &rpc, 6)
}
