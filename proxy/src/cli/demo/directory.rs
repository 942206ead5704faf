//! The demo's directory: one demo at a time uses it, and what an earlier one has left in it is gone on with.

use std::fs::{self, File, TryLockError};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use conf::ClusterConfig;

use crate::cli::failure::Failure;

/// How many nodes a demo has that was told nothing.
const NODES: u16 = 3;

/// See the module. Locked as long as this lives; a temporary one goes with it.
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
    _temporary: Option<tempfile::TempDir>,
}

impl Directory {
    /// Makes the directory, if there is none, and locks it.
    pub(super) fn open(wanted: Option<PathBuf>) -> Result<Self, Failure> {
        let (path, temporary) = match wanted {
            Some(path) => {
                // One that is there already may be for more than this; what is made in it is closed.
                fs::create_dir_all(&path).map_err(Failure::because(path.display()))?;
                (path.canonicalize().map_err(Failure::because(path.display()))?, None)
            }
            None => {
                let made = tempfile::Builder::new().prefix("raft-proxy-demo-").tempdir();
                let made = made.map_err(Failure::because("cannot make a temporary directory"))?;
                (made.path().to_path_buf(), Some(made))
            }
        };
        let name = path.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&name);
        let lock = lock.map_err(Failure::because(name.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock, _temporary: temporary }),
            Err(TryLockError::WouldBlock) => Err(Failure::Usage(format!(
                "another demo runs in {}: stop it, or give another directory with --dir",
                path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(Failure::because(name.display())(error)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many nodes there are to be, and on what: what was asked for, or what is there.
    pub(super) fn shape(&self, nodes: Option<u16>, backend: Option<&str>) -> Result<(u16, String), Failure> {
        let earlier = self.earlier()?;
        let Some(first) = earlier.first() else {
            return Ok((nodes.unwrap_or(NODES), backend.unwrap_or("embedded").to_owned()));
        };
        let dir = self.path.display();
        let count = u16::try_from(earlier.len()).unwrap_or(u16::MAX);
        if let Some(nodes) = nodes.filter(|nodes| *nodes != count) {
            return Err(Failure::Usage(format!(
                "{dir} holds a cluster of {count}, which --nodes {nodes} does not change: leave it out, give another \
                 directory with --dir, or add and remove nodes as docs/operations.md says"
            )));
        }
        let kind = first.storage.kind.name();
        if let Some(backend) = backend.filter(|backend| *backend != kind) {
            return Err(Failure::Usage(format!(
                "{dir} holds a cluster whose storage is {kind}, not {backend}: leave --backend out, or give another \
                 directory with --dir"
            )));
        }
        for config in &earlier {
            let (id, raft) = (config.node.id, config.listen.raft);
            if let Err(error) = TcpListener::bind(raft) {
                return Err(Failure::Usage(format!(
                    "node {id} of {dir} seems to run still ({raft}: {error}): stop it first"
                )));
            }
        }
        Ok((count, kind.to_owned()))
    }

    /// The configurations that an earlier demo has written.
    fn earlier(&self) -> Result<Vec<ClusterConfig>, Failure> {
        let paths = (1..).map(|id| node_dir(&self.path, id).join("cluster.conf"));
        let mut found = Vec::new();
        for path in paths.take_while(|path| path.exists()) {
            let text = fs::read_to_string(&path).map_err(Failure::because(path.display()))?;
            found.push(conf::load(Some((&path, &text)), |_| None, &[])?.config);
        }
        Ok(found)
    }
}

/// The directory of one node in that of the demo.
pub(super) fn node_dir(dir: &Path, id: u16) -> PathBuf {
    dir.join(format!("node{id}"))
}
