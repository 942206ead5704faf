//! Reports in datagrams, on the UDP port with the number of the Raft port.
//!
//! A question over TCP needs both directions: when packets are lost in one, neither end is answered. A datagram needs
//! only its own, so which datagrams still arrive tells which direction works. They are evidence only: where UDP does
//! not pass, nothing else changes.
//!
//! ```text
//! datagram := magic "krh1" | Beat (postcard) | tag (16 bytes)
//! ```
//! The tag is a SipHash-2-4-128 over all before it, keyed from the cluster's id and secret. An old datagram that is sent
//! once more says nothing: only newer reports count.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use siphasher::sip128::SipHasher24;
use tokio::net::UdpSocket;

use super::report::Report;
use crate::network::wire;
use crate::types::NodeId;

const MAGIC: &[u8; 4] = b"krh1";
const TAG_BYTES: usize = 16;
/// Longer ones are not sent, so that none has to be cut into pieces. That of fifteen members has about half.
const MAX_BYTES: usize = 1200;

/// What a datagram says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beat {
    pub(super) to: NodeId,
    pub(super) report: Report,
}

/// Proves that a datagram is the cluster's.
pub(super) struct Key([u8; 16]);

impl Key {
    pub(super) fn new(cluster_id: &str, secret: &str) -> Self {
        let text = format!("raft-proxy datagrams\n{cluster_id}\n{secret}");
        Self(xxhash_rust::xxh3::xxh3_128(text.as_bytes()).to_le_bytes())
    }

    fn tag(&self, bytes: &[u8]) -> [u8; TAG_BYTES] {
        SipHasher24::new_with_key(&self.0).hash(bytes).as_bytes()
    }

    pub(super) fn seal(&self, beat: &Beat) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(wire::encode(beat));
        bytes.extend(self.tag(&bytes));
        bytes
    }

    pub(super) fn open(&self, bytes: &[u8]) -> Option<Beat> {
        let (signed, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG_BYTES)?)?;
        let expected = self.tag(signed);
        let difference = tag.iter().zip(expected).fold(0, |sum, (x, y)| std::hint::black_box(sum | (x ^ y)));
        if difference != 0 {
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
        Beat { to: 2, report: Report { node: 1 << 53, incarnation: 1 << 42, round: 1 << 40, links, clock } }
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
    fn that_of_the_largest_cluster_fits_into_one_packet() {
        assert!(Key::new("c", "secret").seal(&beat(14)).len() <= MAX_BYTES);
    }
}
