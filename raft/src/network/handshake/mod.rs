//! How two nodes prove to each other that they know the cluster's secret, before anything else is said.
//!
//! ```text
//! caller                                                  listener
//! hello     := magic | oldest u16 | newest u16 | nonce      ->
//!           <- challenge := magic | oldest u16 | newest u16 | chosen u16 | nonce | proof
//! claim     := node u64 | target u64 | length u8 | cluster | proof ->
//!           <- welcome := verdict u8 | node u64 | length u8 | cluster | proof
//! ```
//! All numbers are little-endian; a nonce and a proof have 32 bytes each. `chosen` is 0, and the rest of the
//! challenge zero, where no version is spoken by both. This first exchange has the same form in all versions.
//!
//! The connection's key is derived from the secret and all of hello and challenge but the proof, so it is new for each
//! connection and depends on both nonces and on what was negotiated. The listener's proof is over nothing else, the
//! caller's over its claim, and the one of the welcome over the claim and the welcome. Each has a label of its own. So:
//!
//! * The secret is never sent, and what was sent once proves nothing on another connection.
//! * Whoever is called without knowing the secret learns a nonce, and nothing that depends on the secret: the
//!   listener proves itself first. A listener gives one proof to whoever calls, from which a weak secret could be
//!   guessed; see `SECURITY.md`.
//! * A proof that is handed back to its author, or on to another node, proves nothing: the direction is in its label,
//!   and the ids of both nodes and the cluster are in the claim. A caller that is led to another node than it means
//!   is told so.
//! * Nobody can talk two nodes into an older version than the newest that both speak.
//!
//! What it does not do: after it, plain TCP. Who can change packets between two nodes can read and change what they
//! say.

mod error;
mod frame;
#[cfg(test)]
mod tests;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

pub(crate) use self::error::HandshakeError;
use self::frame::{Challenge, Hello, Welcome};
#[cfg(test)]
pub(crate) use self::frame::{HELLO_BYTES, MAGIC};
use super::credentials::{Claim, Credentials, Verdict};
use super::secret::{Key, Tag};
use super::version::Version;
use crate::types::NodeId;

const LISTENER: &str = "listener";
const CALLER: &str = "caller";
const WELCOME: &str = "welcome";

/// Whom a caller has met: somebody who knows the secret.
#[derive(Debug)]
pub(crate) struct Met {
    pub(crate) verdict: Verdict,
    /// Its id; 0 if it has none yet.
    pub(crate) node: NodeId,
    /// Its cluster; empty if it belongs to none.
    pub(crate) cluster: String,
    pub(crate) version: Version,
}

/// The keys of one connection.
struct Keys(Key);

impl Keys {
    fn new(root: &Key, hello: &Hello, challenge: &Challenge) -> Self {
        Self(root.derive("raft-proxy connection", &[&hello.encode(), &challenge.encode()]))
    }

    fn listener(&self) -> Tag {
        self.0.tag(LISTENER, &[])
    }
}

/// The caller's side: proves that `me` knows the secret, and has whoever is there prove the same, in that order
/// reversed. Answers whom it has met, whether or not that one wants to speak to it.
pub(crate) async fn call<S>(stream: &mut S, me: &Credentials, target: NodeId) -> Result<Met, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let hello = Hello { versions: me.versions, nonce: rand::random() };
    stream.write_all(&hello.encode()).await?;
    let challenge = Challenge::read(stream).await?;
    // As this node finds it, whatever the other one says.
    let common = me.versions.common(challenge.versions);
    let Some(version) = common.filter(|version| version.number() == challenge.chosen) else {
        return Err(HandshakeError::NoCommonVersion { theirs: challenge.versions, ours: me.versions });
    };
    let proof = frame::read_tag(stream).await?;
    let keys = Keys::new(&me.root, &hello, &challenge);
    if !keys.0.verifies(LISTENER, &[], &proof) {
        return Err(HandshakeError::Secret);
    }
    let claim = frame::encode_claim(&me.claim(target));
    stream.write_all(&[&claim[..], &keys.0.tag(CALLER, &[&claim])].concat()).await?;
    let (welcome, bytes) = Welcome::read(stream).await?;
    let proof = frame::read_tag(stream).await?;
    if !keys.0.verifies(WELCOME, &[&claim, &bytes], &proof) {
        return Err(HandshakeError::Secret);
    }
    let Welcome { verdict, node, cluster } = welcome;
    Ok(Met { verdict, node, cluster, version })
}

/// The listener's side, up to the caller's proof.
pub(crate) struct Proven {
    keys: Keys,
    encoded: Vec<u8>,
    pub(crate) claim: Claim,
    pub(crate) version: Version,
}

/// The listener's side: proves that `me` knows the secret, and has whoever calls prove the same. `greeted` is called
/// as soon as the caller has shown that it speaks as nodes do.
pub(crate) async fn answer<S>(
    stream: &mut S,
    me: &Credentials,
    greeted: impl FnOnce(),
) -> Result<Proven, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let hello = Hello::read(stream).await?;
    greeted();
    let Some(version) = me.versions.common(hello.versions) else {
        let challenge = Challenge { versions: me.versions, chosen: 0, nonce: [0; 32] };
        stream.write_all(&challenge.encode()).await?;
        // It is read before the connection ends, or the other end's system may throw it away.
        stream.shutdown().await?;
        return Err(HandshakeError::NoCommonVersion { theirs: hello.versions, ours: me.versions });
    };
    let challenge = Challenge { versions: me.versions, chosen: version.number(), nonce: rand::random() };
    let keys = Keys::new(&me.root, &hello, &challenge);
    stream.write_all(&[&challenge.encode()[..], &keys.listener()].concat()).await?;
    let (claim, encoded) = frame::read_claim(stream).await?;
    let proof = frame::read_tag(stream).await?;
    if !keys.0.verifies(CALLER, &[&encoded], &proof) {
        return Err(HandshakeError::Secret);
    }
    Ok(Proven { keys, encoded, claim, version })
}

impl Proven {
    /// Tells the caller how this node, which it has proved itself to, receives it.
    pub(crate) async fn welcome<S>(
        &self,
        stream: &mut S,
        me: &Credentials,
        verdict: Verdict,
    ) -> Result<(), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let welcome = Welcome { verdict, node: me.node, cluster: (*me.cluster).to_owned() }.encode();
        let proof = self.keys.0.tag(WELCOME, &[&self.encoded, &welcome]);
        stream.write_all(&[&welcome[..], &proof].concat()).await?;
        Ok(())
    }
}
