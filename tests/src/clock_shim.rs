//! Wall clocks that a test moves, each of one process: `clock_shim.c`, compiled with the machine's C compiler and
//! preloaded.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{Cluster, Node};

/// The compiled shim.
pub struct ClockShim {
    library: PathBuf,
}

/// The wall clock of a process.
pub struct WallClock {
    file: File,
    path: PathBuf,
}

impl ClockShim {
    /// Compiles it in a directory.
    pub fn build(dir: &Path) -> Self {
        let (source, library) = (dir.join("clock_shim.c"), dir.join("clock_shim.so"));
        fs::write(&source, include_str!("clock_shim.c")).unwrap();
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut command = Command::new(compiler);
        command.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(&library).arg(&source);
        let status = command.arg("-ldl").status().unwrap();
        assert!(status.success(), "the clock shim does not compile: {status}");
        Self { library }
    }

    /// A clock that is right, of the processes that get [`Self::environment`].
    pub fn clock(&self, path: PathBuf) -> WallClock {
        let file = File::options().create(true).truncate(true).read(true).write(true).open(&path).unwrap();
        let clock = WallClock { file, path };
        clock.set_ahead(0);
        clock
    }

    /// What a process is started with to have a clock.
    pub fn environment(&self, clock: &WallClock) -> [(String, String); 2] {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        [("LD_PRELOAD".to_owned(), text(&self.library)), ("CLOCK_SHIM_FILE".to_owned(), text(&clock.path))]
    }

    /// Gives a node, from its next start on, a clock of its own.
    pub fn give(&self, node: &mut Node) -> WallClock {
        fs::create_dir_all(&node.dir).unwrap();
        let clock = self.clock(node.dir.join("wall-clock"));
        node.environment.extend(self.environment(&clock));
        clock
    }

    /// Gives every node of a cluster a clock of its own, before it is launched.
    pub fn give_all(cluster: &mut Cluster) -> Vec<WallClock> {
        let shim = Self::build(cluster.dir());
        cluster.nodes.iter_mut().map(|node| shim.give(node)).collect()
    }
}

impl WallClock {
    /// Moves it, at once: so many milliseconds ahead of the machine's, or behind it.
    pub fn set_ahead(&self, milliseconds: i64) {
        self.file.write_all_at(&milliseconds.to_ne_bytes(), 0).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_its_clock_moved_and_nobody_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let shim = ClockShim::build(dir.path());
        let clock = shim.clock(dir.path().join("clock"));
        let seconds = |environment: &[(String, String)]| {
            let said = Command::new("date").arg("+%s").envs(environment.iter().cloned()).output().unwrap();
            String::from_utf8(said.stdout).unwrap().trim().parse::<i64>().unwrap()
        };
        let right = seconds(&[]);
        for hours in [0, 1, -1] {
            clock.set_ahead(hours * 3_600_000 - 1);
            let moved = seconds(&shim.environment(&clock));
            assert!((moved - right - hours * 3600).abs() <= 2, "{hours} hours: {}", moved - right);
        }
    }
}
