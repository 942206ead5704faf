//! What this machine allows. Most needs root.
//!
//! What is missing makes a run smaller, and is said aloud; where `CI` is set it is an error: there nobody reads.

use std::path::Path;

use super::failure::{Failure, Result};
use super::process::run;
use crate::clock_shim::ClockShim;
use crate::netns::Network;

/// What there is.
pub struct Ground {
    /// Network namespaces, and queues that slow a link.
    pub network: bool,
    /// Small disks that can be filled.
    pub disks: bool,
    /// Clocks that can be moved.
    pub clocks: Option<ClockShim>,
    /// What there is not, and why.
    pub missing: Vec<String>,
}

impl Ground {
    /// Tries everything out. The directory is for what is tried.
    pub fn explore(dir: &Path) -> Result<Self> {
        let mut missing = Vec::new();
        let mut is_there = |what: &str, tried: std::result::Result<(), String>| {
            tried.map_err(|why| missing.push(format!("{what} ({why})"))).is_ok()
        };
        let network = is_there("network namespaces", try_network());
        let disks = is_there("small disks", try_disk(dir));
        let clocks = is_there("moved clocks", run("cc", &["--version"]).map(|_| ()));
        let clocks = clocks.then(|| ClockShim::build(dir));
        if !missing.is_empty() && std::env::var_os("CI").is_some() {
            return Err(Failure::Machine(format!("needed where CI is set: {}", missing.join("; "))));
        }
        Ok(Self { network, disks, clocks, missing })
    }
}

fn try_network() -> std::result::Result<(), String> {
    let network = Network::new(1)?;
    network.slow(0, &network.host(0), 1)?;
    network.hurry(0)
}

fn try_disk(dir: &Path) -> std::result::Result<(), String> {
    let disk = Disk::mount(&dir.join("tried-disk"), "1m")?;
    drop(disk);
    Ok(())
}

/// A file system in memory, of a given size. It goes when this is dropped.
pub struct Disk {
    path: std::path::PathBuf,
}

impl Disk {
    /// Mounts it at a directory, which is made.
    pub fn mount(path: &Path, size: &str) -> std::result::Result<Self, String> {
        std::fs::create_dir_all(path).map_err(|error| error.to_string())?;
        let options = format!("size={size},mode=0700");
        run("mount", &["-t", "tmpfs", "-o", &options, "raft-proxy-test", &path.to_string_lossy()])?;
        Ok(Self { path: path.to_owned() })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A process in another namespace may still hold it: it goes with that.
        if let Err(error) = run("umount", &["-l", &self.path.to_string_lossy()]) {
            eprintln!("{error}");
        }
    }
}
