//! The places of a port: who has one, and who gives one up.
//!
//! One lock guards the table. It is taken when a connection comes and goes, and when it proves itself, which is once
//! for a client and once for a request over HTTP.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

/// Connections that have been told to go and are not gone yet, at most. Beyond it nobody is told to make room: places
/// are descriptors, and there is a bound on those.
const LEAVING: usize = 16;
/// How long those who were told to go are waited for. They only have to be scheduled.
const LEAVING_TIMEOUT: Duration = Duration::from_millis(100);

/// What a port takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// How many more there may be from this machine.
    pub reserved: usize,
    /// Connections from one other machine; 0 for no bound.
    pub per_address: usize,
    /// How old a connection must be that makes room because it has proved nothing.
    pub patience: Duration,
}

/// Why a connection does not get a place, or loses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// All places are taken.
    TooMany,
    /// Its address has as many as one address may have.
    TooManyFromAddress,
    /// It has said nothing, and another one needs its place.
    Silent,
    /// It has not proved in time who it is.
    Unproven,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::TooMany, Self::TooManyFromAddress, Self::Silent, Self::Unproven];

    /// The word for it in metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooMany => "full",
            Self::TooManyFromAddress => "address",
            Self::Silent => "silent",
            Self::Unproven => "unproven",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "all places are taken",
            Self::TooManyFromAddress => "its address has as many as one address may have",
            Self::Silent => "it had said nothing, and another one needed its place",
            Self::Unproven => "it has not proved in time who it is",
        })
    }
}

/// The places of one port.
#[derive(Debug, Default)]
pub(super) struct Slots {
    table: Mutex<Table>,
    /// Rings when one that was told to go is gone.
    left: Notify,
}

#[derive(Debug, Default)]
struct Table {
    /// Places that are taken, without the reserved ones and without those of connections that are leaving.
    taken: usize,
    reserved: usize,
    leaving: usize,
    by_origin: HashMap<IpAddr, usize>,
    /// Connections that have proved nothing, the oldest first.
    unproven: BTreeMap<u64, Unproven>,
    last_ticket: u64,
}

#[derive(Debug)]
struct Unproven {
    since: Instant,
    told: Arc<Notice>,
}

/// Whether a connection was told to go. Changed only while the table is locked.
#[derive(Debug, Default)]
struct Notice {
    to_go: AtomicBool,
    bell: Notify,
}

/// A place that was got.
#[derive(Debug)]
pub enum Granted {
    /// One was free.
    Free(Slot),
    /// A connection that was silent for so long gives its place up.
    Evicted(Slot, Duration),
}

/// A connection's place. It is free again when this is dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    origin: IpAddr,
    reserved: bool,
    /// Its key among the unproven while it is one of them.
    ticket: Mutex<Option<u64>>,
    told: Arc<Notice>,
}

impl Slots {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until another connection can be told to go, so that a burst of silent ones keeps nobody out that comes
    /// behind them.
    pub(super) async fn settle(&self) {
        let left = async {
            while self.table().leaving >= LEAVING {
                self.left.notified().await;
            }
        };
        // One that does not go costs those who come behind it their place, and no more.
        drop(timeout(LEAVING_TIMEOUT, left).await);
    }

    /// A place for a connection from `address`.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr, limits: &Limits) -> Result<Granted, Refusal> {
        let is_local = address.to_canonical().is_loopback();
        let origin = origin(address);
        let mut table = self.table();
        let from_there = table.by_origin.get(&origin).copied().unwrap_or(0);
        if !is_local && limits.per_address > 0 && from_there >= limits.per_address {
            return Err(Refusal::TooManyFromAddress);
        }
        let mut gave_way = None;
        let mut reserved = false;
        if table.taken >= limits.connections {
            gave_way = table.make_room(limits.patience);
            if gave_way.is_none() {
                if !is_local || table.reserved >= limits.reserved {
                    return Err(Refusal::TooMany);
                }
                reserved = true;
            }
        }
        let told = Arc::<Notice>::default();
        *table.by_origin.entry(origin).or_default() += 1;
        let ticket = if reserved {
            table.reserved += 1;
            None
        } else {
            table.taken += 1;
            Some(table.wait(&told))
        };
        drop(table);
        let slot = Slot { slots: Arc::clone(self), origin, reserved, ticket: Mutex::new(ticket), told };
        Ok(match gave_way {
            None => Granted::Free(slot),
            Some(silent) => Granted::Evicted(slot, silent),
        })
    }
}

impl Table {
    /// Tells the oldest connection that has proved nothing to go; how old it was.
    fn make_room(&mut self, patience: Duration) -> Option<Duration> {
        let oldest = self.unproven.first_entry()?;
        let silent = oldest.get().since.elapsed();
        if silent < patience || self.leaving >= LEAVING {
            return None;
        }
        let told = oldest.remove().told;
        told.to_go.store(true, Ordering::Release);
        told.bell.notify_one();
        self.leaving += 1;
        self.taken -= 1;
        Some(silent)
    }

    fn wait(&mut self, told: &Arc<Notice>) -> u64 {
        self.last_ticket += 1;
        let unproven = Unproven { since: Instant::now(), told: Arc::clone(told) };
        self.unproven.insert(self.last_ticket, unproven);
        self.last_ticket
    }
}

impl Slot {
    /// Whether it is one of those for this machine alone, beyond the number of connections.
    pub fn is_reserved(&self) -> bool {
        self.reserved
    }

    /// The connection has shown what it is for: it keeps its place. False if it was told to go before.
    pub fn prove(&self) -> bool {
        let mut table = self.slots.table();
        if let Some(ticket) = self.ticket().take() {
            table.unproven.remove(&ticket);
        }
        !self.told.to_go.load(Ordering::Acquire)
    }

    /// The connection is idle again: from now on it makes room as one that has just come. For protocols whose clients
    /// connect anew without being asked to.
    pub fn rest(&self) {
        let mut table = self.slots.table();
        let mut ticket = self.ticket();
        if !self.reserved && ticket.is_none() && !self.told.to_go.load(Ordering::Acquire) {
            *ticket = Some(table.wait(&self.told));
        }
    }

    /// Ends when the connection is to go. Whoever serves it waits for this as long as nothing is proved.
    pub async fn given_up(&self) {
        while !self.told.to_go.load(Ordering::Acquire) {
            self.told.bell.notified().await;
        }
    }

    fn ticket(&self) -> MutexGuard<'_, Option<u64>> {
        self.ticket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut table = self.slots.table();
        if let Some(ticket) = self.ticket().take() {
            table.unproven.remove(&ticket);
        }
        if let Some(count) = table.by_origin.get_mut(&self.origin) {
            *count -= 1;
            if *count == 0 {
                table.by_origin.remove(&self.origin);
            }
        }
        if self.reserved {
            table.reserved -= 1;
        } else if self.told.to_go.load(Ordering::Acquire) {
            table.leaving -= 1;
            self.slots.left.notify_one();
        } else {
            table.taken -= 1;
        }
    }
}

/// Who counts as one address: of IPv6, a machine has a whole /64.
fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { connections: 2, reserved: 1, per_address: 0, patience: Duration::from_secs(60) };

    fn take(slots: &Arc<Slots>, address: &str, limits: &Limits) -> Result<Slot, Refusal> {
        slots.take(address.parse().unwrap(), limits).map(|place| match place {
            Granted::Free(slot) | Granted::Evicted(slot, _) => slot,
        })
    }

    #[test]
    fn reserved_places_are_for_this_machine_and_beyond_the_others() {
        let slots = Arc::<Slots>::default();
        let _others = [(); 2].map(|()| take(&slots, "10.0.0.1", &LIMITS).unwrap());
        assert_eq!(take(&slots, "10.0.0.2", &LIMITS).unwrap_err(), Refusal::TooMany);
        let local = take(&slots, "::ffff:127.0.0.1", &LIMITS).unwrap();
        assert!(local.is_reserved());
        assert_eq!(take(&slots, "127.0.0.1", &LIMITS).unwrap_err(), Refusal::TooMany);
        drop(local);
        assert!(take(&slots, "::1", &LIMITS).unwrap().is_reserved());
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let limits = Limits { connections: 10, per_address: 1, ..LIMITS };
        let slots = Arc::<Slots>::default();
        let first = take(&slots, "2001:db8::1", &limits).unwrap();
        assert_eq!(take(&slots, "2001:db8::2", &limits).unwrap_err(), Refusal::TooManyFromAddress);
        let _another_network = take(&slots, "2001:db8:0:1::1", &limits).unwrap();
        let _local = [(); 3].map(|()| take(&slots, "127.0.0.1", &limits).unwrap());
        drop(first);
        take(&slots, "2001:db8::2", &limits).unwrap();
        assert!(!slots.table().by_origin.contains_key(&origin("2001:db8::2".parse().unwrap())));
    }

    #[test]
    fn the_oldest_that_is_idle_makes_room_once_it_is_old_enough() {
        let limits = Limits { patience: Duration::ZERO, ..LIMITS };
        let slots = Arc::<Slots>::default();
        let first = take(&slots, "10.0.0.1", &limits).unwrap();
        let second = take(&slots, "10.0.0.1", &limits).unwrap();
        assert!(first.prove());
        first.rest();
        assert_eq!(take(&slots, "10.0.0.1", &LIMITS).unwrap_err(), Refusal::TooMany);
        let third = take(&slots, "10.0.0.1", &limits).unwrap();
        assert!(!second.prove() && first.prove() && third.prove());
        second.rest();
        assert_eq!(take(&slots, "10.0.0.1", &limits).unwrap_err(), Refusal::TooMany);
        drop((first, second, third));
        let table = slots.table();
        assert_eq!((table.taken, table.reserved, table.leaving), (0, 0, 0));
        assert!(table.unproven.is_empty() && table.by_origin.is_empty());
    }

    #[test]
    fn no_more_are_told_to_go_than_can_be_gone_soon() {
        let limits = Limits { connections: 2 * LEAVING, patience: Duration::ZERO, ..LIMITS };
        let slots = Arc::<Slots>::default();
        let mut held: Vec<_> = (0..3 * LEAVING).map(|_| take(&slots, "10.0.0.1", &limits).unwrap()).collect();
        assert_eq!(take(&slots, "10.0.0.1", &limits).unwrap_err(), Refusal::TooMany);
        held.remove(0);
        take(&slots, "10.0.0.1", &limits).unwrap();
    }
}
