//! What operators are shown of the links between the members, and of what follows from them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::network::traffic::Connections;
use crate::types::NodeId;

/// How the way from one member to another is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// Nobody has told, or it is too long ago.
    #[default]
    Unknown,
    /// Questions are answered.
    Up,
    /// Questions are answered, so late that heartbeats may be too late.
    Slow,
    /// This way works, and the way back does not.
    OneWay,
    /// Questions are not answered.
    Down,
}

/// How a member is, as far as all nodes that can be heard know together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberState {
    /// Nothing is known yet.
    #[default]
    Unknown,
    /// It runs, and everybody who runs reaches it.
    Up,
    /// It runs, and a link between it and another member that runs is broken, in one direction at least.
    Partitioned,
    /// Its machine answers that nobody listens there.
    Dead,
    /// Nobody reaches it or hears of it: it is down with its machine, stands still, or is cut off from all others.
    Unreachable,
}

/// Why a link is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Its machine answers that nobody listens there.
    Refused,
    /// It cannot be connected to: no answer at all, no route, no such name.
    Silent,
    /// A connection is made, and a question brings no answer.
    NoAnswer,
    /// It answers that it wants nothing of this node: another secret, another cluster, another node.
    Rejected,
}

/// One link of the view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkHealth {
    /// Who asks.
    pub from: NodeId,
    /// Who is asked.
    pub to: NodeId,
    /// How the link is.
    pub state: LinkState,
    /// How long an answer takes lately, in microseconds.
    pub round_trip_us: Option<u64>,
    /// Why it is down.
    pub fault: Option<Fault>,
}

/// One member of the view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberHealth {
    /// Its id.
    pub id: NodeId,
    /// Whether it votes.
    pub voter: bool,
    /// How it is.
    pub state: MemberState,
    /// Milliseconds since a report of it, at first or second hand, was new; none if there is none.
    pub heard_ms: Option<u64>,
    /// How far its wall clock is ahead of what all members' say together, in milliseconds; none if it is not known.
    pub clock_skew_ms: Option<i64>,
    /// Connections from this node to it; none for this node itself.
    pub connections: Option<Connections>,
}

/// All links between all members, as one node knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthView {
    /// Whose view it is.
    pub node: NodeId,
    /// Whether this node reaches a majority of the voters.
    pub quorum: bool,
    /// The members, by id.
    pub members: Vec<MemberHealth>,
    /// The links, by who asks and who is asked.
    pub links: Vec<LinkHealth>,
    /// How far the log's time is ahead of what the members' wall clocks say together, in milliseconds; none if it is
    /// not known.
    pub log_time_skew_ms: Option<i64>,
}

impl HealthView {
    /// The link between two members.
    pub fn link(&self, from: NodeId, to: NodeId) -> LinkState {
        let link = self.links.iter().find(|link| link.from == from && link.to == to);
        link.map_or(LinkState::Unknown, |link| link.state)
    }

    /// A member.
    pub fn member(&self, id: NodeId) -> Option<&MemberHealth> {
        self.members.iter().find(|member| member.id == id)
    }

    /// Whether there is nothing to complain about.
    pub fn is_healthy(&self) -> bool {
        self.quorum && self.members.iter().all(|member| member.state == MemberState::Up)
    }
}

impl LinkState {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Slow => "slow",
            Self::OneWay => "one-way",
            Self::Down => "down",
        }
    }
}

impl MemberState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Unknown, Self::Up, Self::Partitioned, Self::Dead, Self::Unreachable];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Partitioned => "partitioned",
            Self::Dead => "dead",
            Self::Unreachable => "unreachable",
        }
    }
}

impl Fault {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::NoAnswer => "no-answer",
            Self::Rejected => "rejected",
        }
    }
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
