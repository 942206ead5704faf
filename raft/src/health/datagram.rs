//! Reports in datagrams, on the UDP port with the number of the Raft port.
//!
//! A question over TCP needs both directions: when packets are lost in one, neither end is answered. A datagram needs
//! only its own, so which datagrams still arrive tells which direction works. They are evidence only: where UDP does
//! not pass, nothing else changes.
//!
//! ```text
//! datagram := magic "krh2" | Beat (postcard) | tag (16 bytes)
//! ```
//! The tag is the first half of an HMAC-SHA256 over all before it, with a key derived from the cluster's secret and
//! id. A datagram is for one incarnation of one node, and only newer reports count: one that is sent once more by
//! somebody else says nothing, also not to a node that has been started again. So datagrams go to nobody but members
//! whose incarnation is known, because they have told it on a connection, or others have who know them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tokio::net::UdpSocket;

use super::report::Report;
use crate::network::secret;
use crate::network::wire;
use crate::types::NodeId;

const MAGIC: &[u8; 4] = b"krh2";
const LABEL: &str = "datagram";
const TAG_BYTES: usize = 16;
/// Longer ones are not sent, so that none has to be cut into pieces. That of fifteen members has about half.
const MAX_BYTES: usize = 1200;

/// What a datagram says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beat {
    pub(super) to: NodeId,
    /// Which start of that node it is for.
    pub(super) incarnation: u64,
    pub(super) report: Report,
}

impl Beat {
    /// Whether this is for a node as it runs now, and not for an earlier start of it.
    pub(super) fn is_for(&self, node: NodeId, incarnation: u64) -> bool {
        (self.to, self.incarnation) == (node, incarnation) && self.report.node != node
    }
}

/// Proves that a datagram is the cluster's.
pub(super) struct Key(secret::Key);

impl Key {
    pub(super) fn new(cluster_id: &str, secret: &str) -> Self {
        Self(secret::Key::of_secret(secret).derive("raft-proxy datagrams", &[cluster_id.as_bytes()]))
    }

    pub(super) fn seal(&self, beat: &Beat) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(wire::encode(beat));
        let tag = self.0.tag(LABEL, &[&bytes]);
        bytes.extend_from_slice(&tag[..TAG_BYTES]);
        bytes
    }

    pub(super) fn open(&self, bytes: &[u8]) -> Option<Beat> {
        let (signed, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG_BYTES)?)?;
        if !self.0.verifies(LABEL, &[signed], tag) {
            return None;
        }
        wire::decode(signed.strip_prefix(MAGIC)?).ok()
    }
}

/// The socket.
pub(super) struct Datagrams {
    socket: UdpSocket,
    key: Key,
}

impl Datagrams {
    /// Binds the UDP port beside a TCP listener.
    pub(super) async fn bind(beside: SocketAddr, key: Key) -> std::io::Result<Self> {
        Ok(Self { socket: UdpSocket::bind(beside).await?, key })
    }

    /// Sends one, if there is room for it now. One that is lost is like one that could not be sent.
    pub(super) fn send(&self, beat: &Beat, to: SocketAddr) {
        let bytes = self.key.seal(beat);
        if bytes.len() <= MAX_BYTES {
            let _ = self.socket.try_send_to(&bytes, to);
        }
    }

    /// The next one that is the cluster's.
    pub(super) async fn receive(&self) -> Beat {
        let mut buffer = [0; MAX_BYTES + 1];
        loop {
            // An error here is one of an earlier `send`, as when nobody listens there.
            let Ok((size, _)) = self.socket.recv_from(&mut buffer).await else { continue };
            if let Some(beat) = self.key.open(&buffer[..size]) {
                return beat;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::health::link::Measured;
    use crate::health::report::LinkReport;
    use crate::log_clock::ClockReport;

    fn beat(links: u64) -> Beat {
        let link = |to| LinkReport {
            to,
            measured: Measured::Down,
            fault: Some(crate::health::Fault::NoAnswer),
            round_trip_us: Some(1_000_000),
            hears: true,
        };
        let links = (1..=links).map(link).collect();
        let time = std::time::Duration::new(1 << 35, 999_999_999);
        let clock = ClockReport { wall: time, log: Some(time) };
        Beat {
            to: 2,
            incarnation: 1 << 42,
            report: Report { node: 1 << 53, incarnation: 1 << 42, round: 1 << 40, links, clock },
        }
    }

    #[test]
    fn a_datagram_arrives_as_it_left_and_no_byte_of_it_can_be_changed() {
        let key = Key::new("c", "secret");
        let bytes = key.seal(&beat(2));
        assert_eq!(key.open(&bytes), Some(beat(2)));
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            assert_eq!(key.open(&changed), None, "byte {index}");
            assert_eq!(key.open(&bytes[..index]), None, "cut at {index}");
        }
        assert_eq!(Key::new("c", "Secret").open(&bytes), None);
        assert_eq!(Key::new("d", "secret").open(&bytes), None);
    }

    #[test]
    fn a_datagram_of_before_a_restart_says_nothing_after_it() {
        let beat = beat(2);
        assert!(beat.is_for(2, 1 << 42));
        assert!(!beat.is_for(2, (1 << 42) + 1), "the node has been started again");
        assert!(!beat.is_for(3, 1 << 42), "it is another node's");
        let own = Beat { to: beat.report.node, ..beat };
        assert!(!own.is_for(own.to, own.incarnation), "nobody tells a node of itself");
    }

    #[test]
    fn that_of_the_largest_cluster_fits_into_one_packet() {
        assert!(Key::new("c", "secret").seal(&beat(14)).len() <= MAX_BYTES);
    }
}
