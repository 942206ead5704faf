//! The data, and what a client's command did to it.
//!
//! A command that a Kiwi does otherwise is made of commands as Redis has them, and those are what the journal holds.
//! So what comes back after a restart does not depend on the faults that are on.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use adapter::command::random::{Chance, fresh_seed};
use adapter::command::{self, Run};
use adapter::error::Outcome;
use adapter::keyspace::Meta;
use adapter::memory::MemoryKeyspace;
use adapter::{Batch, CommandBuffer, Keyspace, KeyspaceMut, Reply};
use bytes::Bytes;

use crate::bend::Cursors;
use crate::journal::Journal;

/// How many keys that are due are removed with each command. Those that are left are hidden.
const REAP: usize = 64;

/// All data.
pub(crate) struct Store {
    keyspace: MemoryKeyspace,
    journal: Option<Journal>,
    /// The writes of the command that runs.
    done: CommandBuffer,
    seed: u64,
    instances: u16,
    /// How much more than it did the store believes to have removed from sorted sets. Lost in a restart.
    surplus: HashMap<Bytes, i64>,
    /// The cursors that SCAN has given out.
    pub(crate) cursors: Cursors,
}

impl Store {
    /// Opens the data in a directory, or an empty store in memory.
    pub(crate) fn open(dir: Option<&Path>, instances: u16) -> io::Result<Self> {
        let mut keyspace = MemoryKeyspace::new(0);
        let journal = match dir {
            Some(dir) => Some(Journal::open(dir, |batch| replay(&mut keyspace, &batch))?),
            None => None,
        };
        Ok(Self {
            keyspace,
            journal,
            done: CommandBuffer::default(),
            seed: 0,
            instances,
            surplus: HashMap::new(),
            cursors: Cursors::default(),
        })
    }

    /// Begins a client's command at this moment.
    pub(crate) fn begin(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        self.keyspace.set_now(now.max(self.keyspace.now_ms()));
        self.seed = fresh_seed();
        for key in self.keyspace.due_keys(self.keyspace.now_ms(), REAP).unwrap_or_default() {
            self.surplus.remove(&key);
            // Memory does not fail. It is no write of the journal's: the key is as hidden there.
            let _ = self.keyspace.reap(&key);
        }
    }

    /// Runs a command as Redis has it, as a part of the client's.
    pub(crate) fn run(&mut self, args: &[&[u8]]) -> Outcome<Reply> {
        let seed = Chance::call_seed(self.seed, self.done.count());
        let reply = command::write(&mut self.keyspace, args, seed)?;
        // Reads have met them; nobody waits for their removal.
        self.keyspace.take_hidden();
        if let Some(spec) = command::lookup(args[0]).filter(|spec| matches!(spec.run, Run::Write(_))) {
            self.done.push(args);
            match spec.name {
                "del" => self.surplus.retain(|key, _| !args[1..].contains(&&key[..])),
                "flushall" | "flushdb" => self.surplus.clear(),
                _ => {}
            }
        }
        Ok(reply)
    }

    /// Ends a client's command: what it did survives the process from here on.
    pub(crate) fn commit(&mut self) -> io::Result<()> {
        if self.done.is_empty() {
            return Ok(());
        }
        let done = std::mem::take(&mut self.done);
        let Some(journal) = &mut self.journal else { return Ok(()) };
        journal.append(&Batch::new(self.keyspace.now_ms(), self.seed, [&done]))
    }

    /// Makes what is in the journal safe from a power cut.
    pub(crate) fn mark(&mut self) -> io::Result<()> {
        self.journal.as_mut().map_or(Ok(()), Journal::mark)
    }

    /// Forgets what is not safe. The process must end at once.
    pub(crate) fn cut_power(&mut self) -> io::Result<()> {
        self.journal.as_mut().map_or(Ok(()), Journal::cut_power)
    }

    /// What is known of a key.
    pub(crate) fn meta(&self, key: &[u8]) -> Outcome<Option<Meta>> {
        self.keyspace.meta(key)
    }

    /// How many instances the keys are spread over.
    pub(crate) fn instances(&self) -> u16 {
        self.instances
    }

    /// How much more than it did the store believes to have removed from a sorted set.
    pub(crate) fn surplus(&self, key: &[u8]) -> i64 {
        self.surplus.get(key).copied().unwrap_or(0)
    }

    /// Adds to the surplus.
    pub(crate) fn add_surplus(&mut self, key: &[u8], more: i64) {
        if more != 0 {
            *self.surplus.entry(Bytes::copy_from_slice(key)).or_default() += more;
        }
    }
}

/// Does again what was done before the process ended.
fn replay(keyspace: &mut MemoryKeyspace, batch: &Batch) -> io::Result<()> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, format!("{error}"));
    keyspace.set_now(batch.now_ms().max(keyspace.now_ms()));
    let (mut commands, mut args, mut index) = (batch.commands(), Vec::new(), 0);
    while commands.next_into(&mut args).map_err(invalid)? {
        // It was no error when it was done.
        let _ = command::write(keyspace, &args, Chance::call_seed(batch.seed(), index));
        index += 1;
    }
    keyspace.take_hidden();
    Ok(())
}
