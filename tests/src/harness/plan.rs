//! What a seed draws: which faults strike whom, in which round, for how long.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::ground::Ground;
use crate::engine::Engine;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `kill -9` of one node.
    Kill,
    /// `kill -9` of all nodes at once.
    KillAll,
    /// SIGSTOP, and SIGCONT later.
    Pause,
    /// A node's links to all others lose every packet, in both directions.
    Isolate,
    /// A node's links to all others lose every packet in one direction.
    OneWay,
    /// One link between two nodes loses every packet, in both directions.
    CutLink,
    /// What a node sends to the others crawls.
    Slow,
    /// A wall clock jumps.
    Clock,
    /// A node's disk is full.
    FullDisk,
    /// Leadership is transferred.
    Transfer,
    /// A node comes in, and another one goes.
    Membership,
    /// A node that was away is brought back by a snapshot.
    Snapshot,
    /// `kill -9` of the Kiwi beside a node.
    KillStorage,
    /// A member's directory is removed, while the others run.
    Wipe,
    /// The same, and the node comes back when the others are only starting and one of them lacks what was written last.
    WipeAmidRestart,
    /// A member's directory is put back to an older copy, and it comes back so while the others run.
    RollBack,
    /// A member's Raft log is removed, and it comes back so.
    LoseLog,
    /// The newest file of a member's Raft log is cut to two thirds, and it comes back so.
    CutLog,
}

use Kind::{
    Clock, CutLink, CutLog, FullDisk, Isolate, Kill, KillAll, KillStorage, LoseLog, Membership, OneWay,
    Pause, RollBack, Slow, Snapshot, Transfer, Wipe, WipeAmidRestart,
};

/// Every kind, with the name that it has on a command line.
pub const KINDS: [(Kind, &str); 18] = [
    (Kill, "kill"),
    (KillAll, "kill-all"),
    (Pause, "pause"),
    (Isolate, "isolate"),
    (OneWay, "one-way"),
    (CutLink, "cut-link"),
    (Slow, "slow"),
    (Clock, "clock"),
    (FullDisk, "full-disk"),
    (Transfer, "transfer"),
    (Membership, "membership"),
    (Snapshot, "snapshot"),
    (KillStorage, "kill-storage"),
    (Wipe, "wipe"),
    (WipeAmidRestart, "wipe-amid-restart"),
    (RollBack, "roll-back"),
    (LoseLog, "lose-log"),
    (CutLog, "cut-log"),
];

impl Kind {
    /// Its name.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// Whether this machine and this engine allow it.
    pub fn is_possible(self, ground: &Ground, engine: Engine) -> bool {
        match self {
            Isolate | OneWay | CutLink | Slow => ground.network,
            Clock => ground.clocks.is_some(),
            FullDisk => ground.disks,
            KillStorage => engine.is_kiwi(),
            _ => true,
        }
    }

    /// Whether it can last beside another one. What takes a majority away, or restarts nodes in an order of its own,
    /// leaves no room for that.
    fn pairs(self) -> bool {
        !matches!(self, KillAll | Wipe | WipeAmidRestart | RollBack | LoseLog | CutLog)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = KINDS.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind);
        found.ok_or_else(|| {
            let names: Vec<&str> = KINDS.iter().map(|(_, name)| *name).collect();
            format!("there is no fault {name}; there are {}", names.join(", "))
        })
    }
}

/// Whom a fault strikes. Who that is shows only when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whoever leads.
    Leader,
    /// One of the others, by a number that is taken modulo how many there are.
    Follower(usize),
}

/// A fault as it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its kind.
    pub kind: Kind,
    /// Whom it strikes.
    pub target: Target,
    /// What else it draws from.
    pub lot: u64,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target {
            Target::Leader => write!(f, "{} of the leader", self.kind),
            Target::Follower(which) => write!(f, "{} of follower {which}", self.kind),
        }
    }
}

/// What happens in one round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// Its number.
    pub number: usize,
    /// What its clients draw from.
    pub seed: u64,
    /// One fault, or two at the same time.
    pub faults: Vec<Planned>,
    /// Between the beginnings of two.
    pub gap: Duration,
    /// How long they last.
    pub hold: Duration,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> = self.faults.iter().map(Planned::to_string).collect();
        write!(f, "round {}: {} for {:?}", self.number, faults.join(", and "), self.hold)
    }
}

/// All rounds of a seed, without end. A round does not depend on those before it, so it can be drawn alone.
#[derive(Clone, Debug)]
pub struct Plan {
    seed: u64,
    /// In the order in which each comes once, alone.
    kinds: Vec<Kind>,
}

impl Plan {
    /// The plan of a seed with these kinds of faults.
    pub fn new(seed: u64, kinds: &[Kind]) -> Self {
        let mut kinds = kinds.to_vec();
        kinds.shuffle(&mut StdRng::seed_from_u64(seed));
        Self { seed, kinds }
    }

    /// How many rounds it takes until each kind has come once.
    pub fn once(&self) -> usize {
        self.kinds.len()
    }

    /// What happens in a round: each kind alone at first, then pairs, and every third round one alone again.
    pub fn round(&self, number: usize) -> Round {
        let seed = self.seed ^ (number as u64 + 1).wrapping_mul(0xD1B5_4A32_D192_ED03);
        let mut lots = StdRng::seed_from_u64(seed);
        let first = if number < self.kinds.len() {
            self.kinds[number]
        } else {
            self.kinds[lots.random_range(0..self.kinds.len())]
        };
        let mut kinds = vec![first];
        if number >= self.kinds.len() && !number.is_multiple_of(3) && first.pairs() {
            let others: Vec<Kind> =
                self.kinds.iter().copied().filter(|kind| *kind != first && kind.pairs()).collect();
            if !others.is_empty() {
                kinds.push(others[lots.random_range(0..others.len())]);
            }
        }
        let mut draw = |kind| {
            let target = match lots.random_range(0..4) {
                0 | 1 => Target::Leader,
                which => Target::Follower(which - 2),
            };
            Planned { kind, target, lot: lots.random() }
        };
        let faults = kinds.into_iter().map(&mut draw).collect();
        let gap = Duration::from_millis(lots.random_range(0..800));
        let hold = Duration::from_millis(lots.random_range(1800..3600));
        Round { number, seed, faults, gap, hold }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn all() -> Vec<Kind> {
        KINDS.iter().map(|(kind, _)| *kind).collect()
    }

    #[test]
    fn the_same_seed_draws_the_same_plan_and_another_one_another() {
        let rounds = |seed| (0..100).map(|n| Plan::new(seed, &all()).round(n)).collect::<Vec<_>>();
        assert_eq!(rounds(7), rounds(7));
        assert_ne!(rounds(7), rounds(8));
    }

    #[test]
    fn every_kind_comes_alone_once_before_pairs_come() {
        let plan = Plan::new(7, &all());
        let first: Vec<Round> = (0..plan.once()).map(|number| plan.round(number)).collect();
        assert!(first.iter().all(|round| round.faults.len() == 1));
        let kinds: HashSet<Kind> = first.iter().map(|round| round.faults[0].kind).collect();
        assert_eq!(kinds.len(), KINDS.len());
        let later: Vec<Round> = (plan.once()..300).map(|number| plan.round(number)).collect();
        let pairs = later.iter().filter(|round| round.faults.len() == 2).count();
        assert!(pairs > 60, "{pairs}");
        let in_pairs: HashSet<Kind> = later
            .iter()
            .filter(|round| round.faults.len() == 2)
            .flat_map(|r| r.faults.iter().map(|f| f.kind))
            .collect();
        assert_eq!(in_pairs, all().into_iter().filter(|kind| kind.pairs()).collect());
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for (kind, name) in KINDS {
            assert_eq!(name.parse(), Ok(kind));
            assert_eq!(kind.to_string(), name);
        }
        assert!("no-such".parse::<Kind>().is_err());
    }
}
