//! Who has given a wrong proof lately; the count and the log of who was refused.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::strangers::Block;
use crate::network::credentials::Verdict;
use crate::network::version::Versions;

/// The wait before an address is answered grows by this with each wrong proof, up to the longest one. It is short
/// enough for a member at the same address, which waits as well.
const DELAY: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(250));
/// One wrong proof is forgotten after this.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(2);
/// Addresses that are remembered. One more takes the place of the one that is forgotten first.
const MAX_REMEMBERED: usize = 1024;
/// At most one line of a kind in the log in this time.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Why a connection was refused.
#[derive(Clone, Copy, Debug)]
pub(super) enum Why {
    /// It was closed before anything was said, as a probe of a load balancer's is.
    Closed,
    /// The time for the proof has passed.
    Silent,
    /// Another one came, and there was no place for both.
    Crowded,
    /// It does not speak as nodes do.
    NotANode,
    /// No version is spoken by both.
    Version(Versions),
    /// It went when it should have proved something.
    GaveUp,
    /// Its proof is wrong.
    Secret,
    /// It has proved to have the secret, and is not to speak to this node.
    Verdict(Verdict),
}

impl Why {
    /// The label of the metric.
    fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Crowded => "crowded",
            Self::NotANode => "not-a-node",
            Self::Version(_) => "version",
            Self::GaveUp => "gave-up",
            Self::Secret => "secret",
            Self::Verdict(Verdict::OtherCluster) => "other-cluster",
            Self::Verdict(Verdict::Full) => "full",
            Self::Verdict(Verdict::OtherNode | Verdict::NoCluster | Verdict::Welcome) => "other-node",
        }
    }

    /// The sentence for the log; none for what happens where nothing is wrong.
    fn sentence(self) -> Option<String> {
        Some(match self {
            // One of these two is told by the caller, which looks for somebody else.
            Self::Closed | Self::Verdict(Verdict::OtherNode | Verdict::NoCluster | Verdict::Welcome) => {
                return None;
            }
            Self::Silent => "it has proved nothing in the time for it".to_owned(),
            Self::Crowded => {
                "there are too many that have proved nothing, and it was the oldest of them".to_owned()
            }
            Self::NotANode => "it does not speak as nodes do".to_owned(),
            Self::Version(theirs) => format!(
                "it speaks {theirs} of the protocol between nodes, and this node {}",
                Versions::spoken()
            ),
            Self::GaveUp => {
                "it went when it should have proved that it knows cluster.secret: its own may be another one"
                    .to_owned()
            }
            Self::Secret => "its proof is wrong: its cluster.secret is another one".to_owned(),
            Self::Verdict(Verdict::OtherCluster) => "it belongs to another cluster".to_owned(),
            Self::Verdict(Verdict::Full) => "it has as many connections as a member may have".to_owned(),
        })
    }
}

/// The wrong proofs of one address.
#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    at: Instant,
}

impl Failures {
    fn left(self, now: Instant) -> u32 {
        let forgotten = now.saturating_duration_since(self.at).as_millis() / FORGOTTEN_AFTER.as_millis();
        self.count.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }
}

/// When something of a kind was last told, and how often it has happened since without being told.
struct Remark {
    at: Instant,
    since: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Refusals {
    failures: HashMap<Block, Failures>,
    told: HashMap<&'static str, Remark>,
}

impl Refusals {
    /// How long the next connection of this address waits for its answer.
    pub(super) fn delay(&self, block: Block) -> Duration {
        self.delay_at(block, Instant::now())
    }

    fn delay_at(&self, block: Block, now: Instant) -> Duration {
        let (step, longest) = DELAY;
        let failures = self.failures.get(&block).map_or(0, |failures| failures.left(now));
        step.saturating_mul(failures).min(longest)
    }

    /// Somebody was refused: counts it, and tells if it is time to.
    pub(super) fn refused(&mut self, address: SocketAddr, why: Why) {
        let now = Instant::now();
        if matches!(why, Why::Secret | Why::NotANode) {
            self.failed(Block::of(address.ip()), now);
        }
        metrics::counter!("raft_proxy_network_refused_connections_total", "reason" => why.name())
            .increment(1);
        if let Some(reason) = why.sentence()
            && let Some(untold) = self.tell(why.name(), now)
        {
            tracing::warn!(%address, reason, untold, "a connection to the Raft port was refused");
        }
    }

    fn failed(&mut self, block: Block, now: Instant) {
        let (step, longest) = DELAY;
        let most = u32::try_from(longest.as_millis() / step.as_millis()).unwrap_or(u32::MAX);
        if self.failures.len() >= MAX_REMEMBERED && !self.failures.contains_key(&block) {
            self.failures.retain(|_, failures| failures.left(now) > 0);
            let first = self.failures.iter().min_by_key(|(_, failures)| (failures.left(now), failures.at));
            if let Some(block) =
                first.map(|(block, _)| *block).filter(|_| self.failures.len() >= MAX_REMEMBERED)
            {
                self.failures.remove(&block);
            }
        }
        let failures = self.failures.entry(block).or_insert(Failures { count: 0, at: now });
        *failures = Failures { count: (failures.left(now) + 1).min(most), at: now };
    }

    /// How many of this kind were not told since the last one was, if this one is to be told.
    fn tell(&mut self, kind: &'static str, now: Instant) -> Option<u64> {
        match self.told.get_mut(kind) {
            Some(told) if now.saturating_duration_since(told.at) < LOG_EVERY => {
                told.since += 1;
                None
            }
            known => {
                let untold = known.map_or(0, |told| told.since);
                self.told.insert(kind, Remark { at: now, since: 0 });
                Some(untold)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_answered_later_with_each_wrong_proof_and_forgiven_with_time() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let (bad, good) = (Block::of([10, 0, 0, 1].into()), Block::of([10, 0, 0, 2].into()));
        for _ in 0..3 {
            refusals.failed(bad, start);
        }
        assert_eq!(refusals.delay_at(bad, start), DELAY.0 * 3);
        assert_eq!(refusals.delay_at(good, start), Duration::ZERO);
        for _ in 0..100 {
            refusals.failed(bad, start);
        }
        assert_eq!(refusals.delay_at(bad, start), DELAY.1, "a member at the same address comes through");
        assert_eq!(refusals.delay_at(bad, start + FORGOTTEN_AFTER * 10), Duration::ZERO);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_worst_is_not_forgotten_first() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let block = |number: u32| Block::of(std::net::Ipv4Addr::from_bits(number).into());
        for _ in 0..5 {
            refusals.failed(block(0), start);
        }
        for number in 1..=2 * MAX_REMEMBERED as u32 {
            refusals.failed(block(number), start);
        }
        assert_eq!(refusals.failures.len(), MAX_REMEMBERED);
        assert_eq!(refusals.delay_at(block(0), start), DELAY.0 * 5);
    }

    #[test]
    fn a_kind_is_told_once_in_a_while_with_the_number_of_those_between() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        assert_eq!(refusals.tell("secret", start), Some(0));
        assert_eq!(refusals.tell("secret", start), None);
        assert_eq!(refusals.tell("secret", start), None);
        assert_eq!(refusals.tell("silent", start), Some(0), "another kind");
        assert_eq!(refusals.tell("secret", start + LOG_EVERY), Some(2));
    }
}
