//! What the tests share: real processes, started on free ports and ended by pid.
//!
//! | module | what it says |
//! |---|---|
//! | [`ask`] | a command in one line, and waiting |
//! | [`cluster`] | a cluster of `raft-proxy` processes that can be killed, paused and restarted |
//! | [`clock_shim`] | wall clocks that a test moves, each of one process |
//! | [`differential`] | what the differential test needs: a real Redis, random calls, comparison |
//! | [`engine`] | the table of what a node's data may be kept in: a test that names none runs on every row |
//! | [`harness`] | histories of clients under faults, and the checkers that judge them |
//! | [`history`] | writers that remember what they were told, and the check against what is there |
//! | [`http`] | an HTTP client that does nothing by itself |
//! | [`kiwi`] | a Kiwi process: the stand-in, or a real one |
//! | [`link`] | a TCP link to a node that can be slow |
//! | [`needs`] | what a test needs of the machine |
//! | [`netns`] | a network in which packets are lost in one direction |
//! | [`ports`] | free ports |
//! | [`process`] | the end of processes |
//! | [`promises`] | readers that check what each level of consistency promises |
//! | [`raw`] | a RESP client that does nothing by itself |
//! | [`solo`] | one node by itself, started with limits |
//! | [`stops_all`] | the end of a test's clients |

pub mod ask;
pub mod clock_shim;
pub mod cluster;
pub mod differential;
pub mod engine;
pub mod harness;
pub mod history;
pub mod http;
pub mod kiwi;
pub mod ledger;
pub mod link;
pub mod needs;
pub mod netns;
pub mod node;
pub mod ports;
pub mod process;
pub mod promises;
pub mod raw;
pub mod solo;
pub mod stops_all;
