//! A network of namespaces: each node has an address of its own, and packets from one to another can be lost, in one
//! direction only if a test wants that. Needs root and the `ip` command.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Namespaces on one bridge. They go when this is dropped.
pub struct Network {
    /// Begins the names of everything here; another one for each network.
    prefix: String,
    count: usize,
    subnet: String,
}

impl Network {
    /// `count` namespaces; or why this machine has none.
    pub fn new(count: usize) -> Result<Self, String> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let (process, made) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let subnet = format!("10.{}.{}", 100 + process % 100, (process / 100 + made) % 250);
        let network = Self { prefix: format!("kr{process}{}", letter(made)), count, subnet };
        ip(&format!("netns add {}", network.name(0)))?;
        network.bridge().unwrap();
        for index in 0..count {
            network.add(index).unwrap();
        }
        Ok(network)
    }

    fn bridge(&self) -> Result<(), String> {
        let bridge = &self.prefix;
        ip(&format!("link add {bridge} type bridge"))?;
        ip(&format!("addr add {}.254/24 dev {bridge}", self.subnet))?;
        ip(&format!("link set {bridge} up"))
    }

    fn add(&self, index: usize) -> Result<(), String> {
        let (name, outer) = (self.name(index), self.outer(index));
        if index > 0 {
            ip(&format!("netns add {name}"))?;
        }
        ip(&format!("link add {outer} type veth peer name eth0 netns {name}"))?;
        ip(&format!("link set {outer} master {} up", self.prefix))?;
        ip(&format!("-n {name} addr add {}/24 dev eth0", self.host(index)))?;
        ip(&format!("-n {name} link set eth0 up"))?;
        ip(&format!("-n {name} link set lo up"))
    }

    /// The end of a namespace's cable at the bridge.
    fn outer(&self, index: usize) -> String {
        format!("{}-{index}", self.prefix)
    }

    /// The address in a namespace.
    pub fn host(&self, index: usize) -> String {
        format!("{}.{}", self.subnet, index + 1)
    }

    /// The name of a namespace.
    pub fn name(&self, index: usize) -> String {
        format!("{}-{index}", self.prefix)
    }

    /// From now on, what one sends to the other is lost on the way, and nothing tells it so.
    pub fn lose(&self, from: usize, to: usize) {
        let nobody = "02:00:00:00:00:99";
        let there = self.host(to);
        ip(&format!("-n {} neigh replace {there} lladdr {nobody} dev eth0 nud permanent", self.name(from)))
            .unwrap();
    }

    /// Ends a [`Self::lose`].
    pub fn mend(&self, from: usize, to: usize) {
        ip(&format!("-n {} neigh del {} dev eth0", self.name(from), self.host(to))).unwrap();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What could not be made need not go.
        for index in 0..self.count {
            let _ = ip(&format!("link del {}", self.outer(index)));
            let _ = ip(&format!("netns del {}", self.name(index)));
        }
        let _ = ip(&format!("link del {}", self.prefix));
    }
}

fn letter(number: u32) -> char {
    char::from_u32(u32::from('a') + number % 26).unwrap_or('a')
}

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
