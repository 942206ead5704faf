//! The clients. What each of them asks, one call after the other, is drawn from the seed, the round and its number
//! alone.
//!
//! | module | what its clients do | judged by |
//! |---|---|---|
//! | [`register`] | read, set, increment and remove a few registers at the same time | [`checker::register`](super::checker::register) |
//! | [`collections`] | add to lists, sets and counters | [`checker::collections`](super::checker::collections) |
//! | [`levels`] | read a counter at every level | [`checker::levels`](super::checker::levels) |
//! | [`expiry`] | set keys that expire, and look for them | [`checker::expiry`](super::checker::expiry) |

pub mod collections;
pub mod expiry;
pub mod levels;
pub mod register;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::checker::collections::CollectionOperation;
use super::checker::expiry::ExpiryOperation;
use super::checker::levels::LevelOperation;
use super::checker::register::RegisterOperation;
use super::client::Shared;
use super::failure::{Failure, Result};

/// Between two calls of one client: the machine is shared by all nodes, and a checker's work grows with the history.
const PAUSE: Duration = Duration::from_millis(4);

/// How many clients of each kind.
#[derive(Clone, Copy, Debug)]
pub struct Clients {
    /// On registers.
    pub register: u32,
    /// On collections.
    pub collections: u32,
    /// Readers at each level.
    pub levels: u32,
    /// On keys that expire.
    pub expiry: u32,
    /// What those on registers say first on each connection.
    pub greeting: Option<&'static str>,
}

impl Default for Clients {
    fn default() -> Self {
        Self { register: 6, collections: 4, levels: 2, expiry: 2, greeting: None }
    }
}

/// What a round's clients remember.
#[derive(Default)]
pub struct Histories {
    /// Of registers.
    pub register: Vec<RegisterOperation>,
    /// Of collections.
    pub collections: Vec<CollectionOperation>,
    /// Of the levels' counter.
    pub levels: Vec<LevelOperation>,
    /// Of keys that expire.
    pub expiry: Vec<ExpiryOperation>,
}

/// What one client remembers; or the answer that nothing allows.
type Remembered<T> = std::result::Result<Vec<T>, String>;

/// Clients at work.
pub struct Load {
    shared: Arc<Shared>,
    register: Vec<JoinHandle<Remembered<RegisterOperation>>>,
    collections: Vec<JoinHandle<Remembered<CollectionOperation>>>,
    levels: Vec<JoinHandle<Remembered<LevelOperation>>>,
    expiry: Vec<JoinHandle<Remembered<ExpiryOperation>>>,
}

impl Load {
    /// Starts the clients.
    pub fn start(shared: &Arc<Shared>, clients: Clients) -> Self {
        let registers = 0..clients.register;
        let register = registers.map(|number| spawn(shared, number, register::run)).collect();
        let collections =
            (0..clients.collections).map(|number| spawn(shared, 100 + number, collections::run)).collect();
        let mut levels = vec![spawn(shared, 200, levels::write)];
        for number in 0..clients.levels * levels::LEVELS.len() as u32 {
            levels.push(spawn(shared, 201 + number, levels::read));
        }
        let expiry = (0..clients.expiry).map(|number| spawn(shared, 300 + number, expiry::run)).collect();
        Self { shared: Arc::clone(shared), register, collections, levels, expiry }
    }

    /// Ends the clients; what they remember.
    pub fn finish(self) -> Result<Histories> {
        self.shared.stop.store(true, std::sync::atomic::Ordering::SeqCst);
        Ok(Histories {
            register: join(self.register)?,
            collections: join(self.collections)?,
            levels: join(self.levels)?,
            expiry: join(self.expiry)?,
        })
    }
}

fn spawn<T: Send + 'static>(
    shared: &Arc<Shared>,
    number: u32,
    run: fn(&Arc<Shared>, u32) -> Remembered<T>,
) -> JoinHandle<Remembered<T>> {
    let shared = Arc::clone(shared);
    std::thread::spawn(move || run(&shared, number))
}

fn join<T>(clients: Vec<JoinHandle<Remembered<T>>>) -> Result<Vec<T>> {
    let mut history = Vec::new();
    for client in clients {
        let remembered = client.join().map_err(|_| Failure::Machine("a client panicked".to_owned()))?;
        history.extend(remembered.map_err(Failure::Broken)?);
    }
    Ok(history)
}

/// What one client draws from.
pub fn lots(seed: u64, client: u32) -> StdRng {
    StdRng::seed_from_u64(seed ^ (u64::from(client) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}
