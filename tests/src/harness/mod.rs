//! Histories in the manner of Jepsen: real processes under faults, clients that remember everything, and checkers that
//! say whether what they remember can have been.
//!
//! A run is a row of [rounds](runner). In each, clients work on keys of its own while one fault or two begin, last and
//! end; then the cluster has to recover within a bound, the clients stop, and every history is checked. One number, the
//! seed, draws all faults and all calls of the clients: the same seed gives the same plan. What is not in the plan is
//! how the processes and the machine interleave.
//!
//! Three things are never a pass: a promise that was broken, a question that a checker could not decide within its
//! budget, and a fault that left no evidence of having happened.
//!
//! | module | what it says |
//! |---|---|
//! | [`history`] | calls of clients, when they were made and how they ended |
//! | [`checker`] | whether a history keeps what was promised |
//! | [`plan`] | what a seed draws: faults and their targets |
//! | [`workload`] | the clients |
//! | [`nemesis`] | the faults, one file for a family |
//! | [`ground`] | what this machine allows: namespaces, small disks, moved clocks |
//! | [`deployment`] | the nodes, each in a network namespace of its own |
//! | [`runner`] | the rounds, from the first node to the verdict |

pub mod checker;
pub mod client;
pub mod deployment;
pub mod failure;
pub mod ground;
pub mod history;
pub mod nemesis;
pub mod plan;
pub mod process;
pub mod record;
pub mod runner;
pub mod workload;
