//! Who belongs to the cluster, and who leads it, as operators change it.
//!
//! | module | what it says |
//! |---|---|
//! | [`change`] | what can be asked for, and what is answered |
//! | [`plan`] | which changes are refused, and the next step of one that is under way |
//! | [`manager`] | the leader takes changes on and makes them so |
//! | [`request`] | a change from any node to the leader, and the wait for its end |
//! | [`transfer`] | leadership moves to a chosen member in milliseconds |
//! | [`dead`] | voters that have been silent for long are removed, where that is asked for |
//!
//! **What a member is to be is in the membership.** To take a change on is to commit what the node is to be
//! ([`crate::types::TargetRole`]): from then on it is in the log and in every snapshot. Whoever leads compares what
//! the members are with what they are to be, and goes one step towards it: ends a joint configuration, makes a
//! learner that has caught up a voter, makes a voter that is to go a learner, drops it, hands leadership over if it
//! is itself to go. So a change whose author dies, or whose leader does, in whatever step, is finished by the next
//! leader; nothing else has to be remembered.
//!
//! One change at a time: while a member is not what it is to be, another change is refused.

pub(crate) mod change;
pub(crate) mod dead;
pub(crate) mod manager;
mod plan;
pub(crate) mod request;
pub(crate) mod transfer;

#[cfg(test)]
mod tests;
