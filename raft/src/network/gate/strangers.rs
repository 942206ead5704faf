//! Those who have not proved anything yet, in the order in which they came, and whose turn it is to go.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::{AbortHandle, Id};

/// Strangers at a time.
const MAX: usize = 64;
/// Those of one address.
const MAX_PER_BLOCK: usize = 32;

/// Addresses that are taken for one: an IPv4 address, or the /64 of an IPv6 address, all of which one machine may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Block(IpAddr);

impl Block {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => Self(IpAddr::V6((address.to_bits() >> 64 << 64).into())),
            address => Self(address),
        }
    }
}

struct Stranger {
    task: AbortHandle,
    address: SocketAddr,
    block: Block,
    /// Whether it has said something that a node says.
    greeted: Arc<AtomicBool>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Strangers(Vec<Stranger>);

impl Strangers {
    /// Has one go if there is no place for one more of this block; its address.
    pub(super) fn make_room(&mut self, block: Block) -> Option<SocketAddr> {
        let count = |of: Block| self.0.iter().filter(|stranger| stranger.block == of).count();
        let crowd = if count(block) >= MAX_PER_BLOCK {
            block
        } else if self.0.len() >= MAX {
            self.0.iter().map(|stranger| stranger.block).max_by_key(|block| count(*block))?
        } else {
            return None;
        };
        let in_crowd = |stranger: &Stranger| stranger.block == crowd;
        let is_mute = |stranger: &Stranger| in_crowd(stranger) && !stranger.greeted.load(Ordering::Relaxed);
        let place = self.0.iter().position(is_mute).or_else(|| self.0.iter().position(in_crowd))?;
        let gone = self.0.remove(place);
        gone.task.abort();
        Some(gone.address)
    }

    pub(super) fn add(&mut self, task: AbortHandle, address: SocketAddr, greeted: Arc<AtomicBool>) {
        self.0.push(Stranger { task, address, block: Block::of(address.ip()), greeted });
    }

    /// The address of one that is none any more; none if it has made room for another before.
    pub(super) fn remove(&mut self, task: Id) -> Option<SocketAddr> {
        let place = self.0.iter().position(|stranger| stranger.task.id() == task)?;
        Some(self.0.remove(place).address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Crowd(Strangers);

    impl Crowd {
        /// One more comes; who goes.
        fn come(&mut self, address: &str, greets: bool) -> Option<String> {
            let address: SocketAddr = address.parse().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into());
            let gone = self.0.make_room(Block::of(address.ip()));
            let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
            self.0.add(task, address, Arc::new(AtomicBool::new(greets)));
            gone.map(|gone| gone.to_string())
        }
    }

    #[tokio::test]
    async fn the_oldest_silent_one_of_the_address_with_the_most_goes() {
        let mut crowd = Crowd(Strangers::default());
        assert_eq!(crowd.come("10.0.0.1:1", true), None);
        for port in 2..=MAX_PER_BLOCK {
            assert_eq!(crowd.come(&format!("10.0.0.1:{port}"), false), None);
        }
        assert_eq!(crowd.come("10.0.0.1:99", false).as_deref(), Some("10.0.0.1:2"), "the first has greeted");
        for port in 1..=(MAX - MAX_PER_BLOCK) {
            assert_eq!(crowd.come(&format!("10.0.1.{port}:7"), false), None);
        }
        // Full: a member at its own address comes in, and one of the crowd goes.
        assert_eq!(crowd.come("10.0.2.1:7", false).as_deref(), Some("10.0.0.1:3"));
        assert_eq!(crowd.0.0.len(), MAX);
    }

    #[tokio::test]
    async fn one_machine_with_many_addresses_of_ipv6_is_one_crowd() {
        let mut crowd = Crowd(Strangers::default());
        for host in 1..=MAX_PER_BLOCK {
            assert_eq!(crowd.come(&format!("[2001:db8::{host:x}]:1"), false), None);
        }
        assert_eq!(crowd.come("[2001:db8::ffff]:1", false).as_deref(), Some("[2001:db8::1]:1"));
        assert_eq!(crowd.come("[2001:db8:0:1::1]:1", false), None, "another network");
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:1".parse().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into());
        assert_eq!(Block::of(mapped.ip()), Block::of([10, 0, 0, 1].into()));
    }
}
