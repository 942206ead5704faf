//! One `raft-proxy` process of a [`Cluster`](crate::cluster::Cluster), and what it is started with.

use std::path::{Path, PathBuf};
use std::process::Child;

use crate::engine::Engine;
use crate::kiwi::Kiwi;
use crate::link::Link;
use crate::ports;

/// How long a test's node waits before it sends again what its Kiwi may still carry out. A Kiwi that has given nothing
/// up yet needs longer; in the tests it only ends, and then nothing is waited for.
const SETTLE_TIME: &str = "1s";

/// One node's process.
pub struct Node {
    /// Its id.
    pub id: u64,
    /// Its address.
    pub host: String,
    /// The network namespace that it runs in, if that is not the tests' own.
    pub namespace: Option<String>,
    /// Its client port.
    pub port: u16,
    /// Its Raft port.
    pub raft_port: u16,
    /// What keeps its data.
    pub engine: Engine,
    /// The Kiwi beside it, if it has one.
    pub kiwi: Option<Kiwi>,
    /// The way that its peers take to its Raft port, if it is not the direct one.
    pub link: Option<Link>,
    /// What it is told besides the cluster's settings.
    pub settings: Vec<(String, String)>,
    /// Whether it is one of `cluster.members`, which form the cluster; else it waits to join one.
    pub founder: bool,
    /// The step at which it stops itself, from its next start on; see `adapter::failpoint`.
    pub stop_at: Option<String>,
    /// Environment variables of its process.
    pub environment: Vec<(String, String)>,
    /// The cluster version that its program knows at most, from its next start on, if that is not the newest; see
    /// `raft::version`.
    pub speaks: Option<u16>,
    /// Its directory.
    pub dir: PathBuf,
    pub(crate) child: Option<Child>,
}

impl Node {
    pub(crate) fn prepare(engine: Engine, id: u64, dir: &Path) -> Self {
        let dir = dir.join(format!("node{id}"));
        let kiwi = engine.is_kiwi().then(|| Kiwi::prepare(engine, &dir.join("kiwi")));
        let settings = kiwi.as_ref().map_or_else(Vec::new, |kiwi| {
            let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            vec![
                setting("storage.kind", "kiwi"),
                setting("storage.address", &kiwi.address()),
                setting("storage.settle_time", SETTLE_TIME),
            ]
        });
        let (port, raft_port) = (ports::free(), ports::free());
        let host = "127.0.0.1".to_owned();
        Self {
            id,
            host,
            namespace: None,
            port,
            raft_port,
            engine,
            kiwi,
            link: None,
            settings,
            founder: true,
            stop_at: None,
            environment: Vec::new(),
            speaks: None,
            dir,
            child: None,
        }
    }

    /// Gives a setting of its own another value.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(other, _)| other != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }
}
