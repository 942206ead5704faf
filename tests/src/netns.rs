//! A network of namespaces: each node has an address of its own, and packets from one to another can be lost, in one
//! direction only if a test wants that, or slow. Needs root and the `ip` and `tc` commands.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Datagrams of one look at whether a direction works: more than anybody else sends to a closed port meanwhile.
const PROBES: u64 = 20;
/// How long they may take.
const PROBE_TIME: Duration = Duration::from_millis(300);

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
        ip(&format!("link set {bridge} up")).map(|_| ())
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
        ip(&format!("-n {name} link set lo up")).map(|_| ())
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

    /// Pulls the cable of a namespace: from this moment on, nothing that it sends or is sent arrives, and nobody is
    /// told.
    pub fn unplug(&self, index: usize) {
        ip(&format!("link set {} down", self.outer(index))).unwrap();
    }

    /// Ends an [`Self::unplug`].
    pub fn plug(&self, index: usize) {
        ip(&format!("link set {} up", self.outer(index))).unwrap();
    }

    /// Ends a [`Self::lose`].
    pub fn mend(&self, from: usize, to: usize) {
        match ip(&format!("-n {} neigh del {} dev eth0", self.name(from), self.host(to))) {
            // It was mended already.
            Err(error) if error.contains("No such file") => {}
            other => {
                other.unwrap();
            }
        }
    }

    /// From now on, what one sends to an address waits in a queue that is emptied at so many kilobits a second.
    pub fn slow(&self, from: usize, to: &str, kilobits: u32) -> Result<(), String> {
        let name = self.name(from);
        if !tc(&format!("-n {name} qdisc show dev eth0"))?.contains("htb 1:") {
            tc(&format!("-n {name} qdisc replace dev eth0 root handle 1: htb default 1"))?;
            tc(&format!("-n {name} class add dev eth0 parent 1: classid 1:1 htb rate 10gbit quantum 60000"))?;
            let slow = format!("rate {kilobits}kbit burst 3k cburst 3k quantum 2000");
            tc(&format!("-n {name} class add dev eth0 parent 1: classid 1:2 htb {slow}"))?;
            tc(&format!("-n {name} qdisc add dev eth0 parent 1:2 handle 2: bfifo limit 64kb"))?;
        }
        let matched = format!("protocol ip u32 match ip dst {to}/32 flowid 1:2");
        tc(&format!("-n {name} filter add dev eth0 parent 1: {matched}")).map(|_| ())
    }

    /// Ends a [`Self::slow`].
    pub fn hurry(&self, from: usize) -> Result<(), String> {
        tc(&format!("-n {} qdisc del dev eth0 root", self.name(from))).map(|_| ())
    }

    /// How many packets had to wait since [`Self::slow`] began.
    pub fn held_up(&self, from: usize) -> Result<u64, String> {
        let told = tc(&format!("-n {} -s class show dev eth0", self.name(from)))?;
        let class = told.split("class htb 1:2 ").nth(1).unwrap_or_default();
        let count = class.split("overlimits ").nth(1).and_then(|rest| rest.split(' ').next());
        count.and_then(|count| count.parse().ok()).ok_or_else(|| format!("no such class: {told}"))
    }

    /// Whether datagrams from one reach the other: it counts those for a port on which nobody listens.
    pub fn reaches(&self, from: usize, to: usize) -> Result<bool, String> {
        let before = self.unclaimed(to)?;
        let script = format!("for i in {{1..{PROBES}}}; do echo > /dev/udp/{}/9; done", self.host(to));
        // Where nobody listens, sending fails now and then; what counts is what arrives.
        let sent =
            Command::new("ip").args(["netns", "exec", &self.name(from), "bash", "-c", &script]).output();
        sent.map_err(|error| format!("ip: {error}"))?;
        let deadline = Instant::now() + PROBE_TIME;
        while Instant::now() < deadline {
            if self.unclaimed(to)? >= before + PROBES / 2 {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(false)
    }

    /// Datagrams that came for ports on which nobody listens.
    fn unclaimed(&self, index: usize) -> Result<u64, String> {
        let told = ip(&format!("netns exec {} cat /proc/net/snmp", self.name(index)))?;
        let mut lines = told.lines().filter(|line| line.starts_with("Udp:"));
        let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let count = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "NoPorts");
        count.and_then(|(_, count)| count.parse().ok()).ok_or_else(|| format!("no such count: {told}"))
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

fn ip(arguments: &str) -> Result<String, String> {
    run("ip", arguments)
}

fn tc(arguments: &str) -> Result<String, String> {
    run("tc", arguments)
}

fn run(program: &str, arguments: &str) -> Result<String, String> {
    let output = Command::new(program).args(arguments.split(' ')).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
