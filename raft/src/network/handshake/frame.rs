//! The frames of the handshake, as bytes. See the module above for their form.

use tokio::io::{AsyncRead, AsyncReadExt};

use super::error::{HandshakeError, Protocol};
use crate::network::credentials::{Claim, Verdict};
use crate::network::secret::{TAG_BYTES, Tag};
use crate::network::version::Versions;

/// What both sides say first. A server of HTTP or of the Redis protocol, called by mistake, takes it for a line and
/// answers with an error, which tells what it is.
pub(crate) const MAGIC: &[u8; 16] = b"KIWI-RAFT PEER\r\n";
const NONCE_BYTES: usize = 32;
/// Bytes of the first frame.
pub(crate) const HELLO_BYTES: usize = MAGIC.len() + 4 + NONCE_BYTES;
const CHALLENGE_BYTES: usize = MAGIC.len() + 6 + NONCE_BYTES;
/// Bytes of a claim before the cluster's id.
const CLAIM_HEAD: usize = 8 + 8 + 1;
/// The same of a welcome.
const WELCOME_HEAD: usize = 1 + 8 + 1;

type Nonce = [u8; NONCE_BYTES];

pub(super) struct Hello {
    pub(super) versions: Versions,
    pub(super) nonce: Nonce,
}

impl Hello {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Versions { oldest, newest } = self.versions;
        [&MAGIC[..], &oldest.to_le_bytes(), &newest.to_le_bytes(), &self.nonce].concat()
    }

    pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Self, HandshakeError> {
        read_magic(stream).await?;
        let rest: [u8; HELLO_BYTES - MAGIC.len()] = read(stream).await?;
        let [a, b, c, d, nonce @ ..] = rest;
        Ok(Self { versions: versions([a, b, c, d]), nonce })
    }
}

pub(super) struct Challenge {
    pub(super) versions: Versions,
    pub(super) chosen: u16,
    pub(super) nonce: Nonce,
}

impl Challenge {
    /// Without the proof.
    pub(super) fn encode(&self) -> Vec<u8> {
        let Versions { oldest, newest } = self.versions;
        let numbers = [oldest.to_le_bytes(), newest.to_le_bytes(), self.chosen.to_le_bytes()].concat();
        [&MAGIC[..], &numbers, &self.nonce].concat()
    }

    pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Self, HandshakeError> {
        read_magic(stream).await?;
        let rest: [u8; CHALLENGE_BYTES - MAGIC.len()] = read(stream).await?;
        let [a, b, c, d, e, f, nonce @ ..] = rest;
        Ok(Self { versions: versions([a, b, c, d]), chosen: u16::from_le_bytes([e, f]), nonce })
    }
}

fn versions([a, b, c, d]: [u8; 4]) -> Versions {
    Versions { oldest: u16::from_le_bytes([a, b]), newest: u16::from_le_bytes([c, d]) }
}

/// A claim without the proof. Credentials see to it that the cluster's id is short enough.
pub(super) fn encode_claim(claim: &Claim) -> Vec<u8> {
    let Claim { node, target, cluster } = claim;
    [&node.to_le_bytes()[..], &target.to_le_bytes(), &[cluster.len() as u8], cluster.as_bytes()].concat()
}

/// The claim, and as it came.
pub(super) async fn read_claim(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<(Claim, Vec<u8>), HandshakeError> {
    let head: [u8; CLAIM_HEAD] = read(stream).await?;
    let (node, target) = (number(&head[..8]), number(&head[8..16]));
    let (cluster, bytes) = read_cluster(stream, &head).await?;
    Ok((Claim { node, target, cluster }, bytes))
}

pub(super) struct Welcome {
    pub(super) verdict: Verdict,
    pub(super) node: u64,
    pub(super) cluster: String,
}

impl Welcome {
    /// Without the proof.
    pub(super) fn encode(&self) -> Vec<u8> {
        let verdict = match self.verdict {
            Verdict::Welcome => 0,
            Verdict::OtherCluster => 1,
            Verdict::OtherNode => 2,
            Verdict::NoCluster => 3,
            Verdict::Full => 4,
        };
        let length = self.cluster.len() as u8;
        [&[verdict][..], &self.node.to_le_bytes(), &[length], self.cluster.as_bytes()].concat()
    }

    /// The welcome, and as it came.
    pub(super) async fn read(
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let head: [u8; WELCOME_HEAD] = read(stream).await?;
        let verdict = match head[0] {
            0 => Verdict::Welcome,
            1 => Verdict::OtherCluster,
            2 => Verdict::OtherNode,
            3 => Verdict::NoCluster,
            4 => Verdict::Full,
            _ => return Err(HandshakeError::Malformed),
        };
        let node = number(&head[1..9]);
        let (cluster, bytes) = read_cluster(stream, &head).await?;
        Ok((Self { verdict, node, cluster }, bytes))
    }
}

/// Reads what ends with a cluster's id, whose length is the last byte of `head`. Answers all of it, too.
async fn read_cluster(
    stream: &mut (impl AsyncRead + Unpin),
    head: &[u8],
) -> Result<(String, Vec<u8>), HandshakeError> {
    let length = head.last().map_or(0, |length| usize::from(*length));
    let mut bytes = head.to_vec();
    bytes.resize(head.len() + length, 0);
    let cluster = &mut bytes[head.len()..];
    fill(stream, cluster).await?;
    let cluster = std::str::from_utf8(cluster).map_err(|_| HandshakeError::Malformed)?.to_owned();
    Ok((cluster, bytes))
}

pub(super) async fn read_tag(stream: &mut (impl AsyncRead + Unpin)) -> Result<Tag, HandshakeError> {
    read::<TAG_BYTES>(stream).await
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Reads what every node says first. Whoever says something else is told apart by its first bytes: it may not send as
/// many as a node does.
async fn read_magic(stream: &mut (impl AsyncRead + Unpin)) -> Result<(), HandshakeError> {
    let (mut said, mut length) = ([0; MAGIC.len()], 0);
    while length < said.len() {
        let size = stream.read(&mut said[length..]).await?;
        length += size;
        let so_far = &said[..length];
        if !MAGIC.starts_with(so_far) {
            return Err(HandshakeError::NotANode(protocol(so_far)));
        }
        if size == 0 {
            return Err(HandshakeError::Closed { silent: length == 0 });
        }
    }
    Ok(())
}

fn protocol(said: &[u8]) -> Protocol {
    let is_http = ["HTTP/", "GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "OPTIONS ", "PRI * HTTP"]
        .iter()
        .any(|start| said.starts_with(start.as_bytes()));
    match said.first() {
        _ if is_http => Protocol::Http,
        Some(b'+' | b'-' | b'*' | b'$' | b':') => Protocol::Redis,
        _ => Protocol::Other,
    }
}

async fn read<const SIZE: usize>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<[u8; SIZE], HandshakeError> {
    let mut bytes = [0; SIZE];
    fill(stream, &mut bytes).await?;
    Ok(bytes)
}

async fn fill(stream: &mut (impl AsyncRead + Unpin), bytes: &mut [u8]) -> Result<(), HandshakeError> {
    match stream.read_exact(bytes).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(HandshakeError::Closed { silent: false })
        }
        Err(error) => Err(error.into()),
    }
}
