//! The data, and what a client's command did to it.
//!
//! A command that a Kiwi does otherwise is made of commands as Redis has them, and those are what the journal holds.
//! So what comes back after a restart does not depend on the faults that are on.

use std::collections::HashMap;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use adapter::command;
use adapter::command::random::{Chance, fresh_seed};
use adapter::error::Outcome;
use adapter::keyspace::{Kind, Meta};
use adapter::memory::MemoryKeyspace;
use adapter::{Batch, CommandBuffer, Keyspace, KeyspaceMut, Reply, Spec};
use bytes::Bytes;

use crate::bend::{Cursors, MemberCursors};
use crate::fault::{Fault, Faults};
use crate::journal::Journal;
use crate::options::Settings;

/// How many keys that are due are removed with each command. Those that are left are hidden.
const REAP: usize = 64;

/// All data.
pub(crate) struct Store {
    keyspace: MemoryKeyspace,
    journal: Option<Journal>,
    /// The writes of the command that runs, in the parts that the end of the process can come between.
    done: Vec<CommandBuffer>,
    seed: u64,
    instances: u16,
    faults: Faults,
    /// How much more than it did the store believes to have removed from sets and sorted sets. Lost in a restart.
    surplus: HashMap<Bytes, (Kind, i64)>,
    /// The cursors that SCAN has given out.
    pub(crate) cursors: Cursors,
    /// The cursors that HSCAN has given out.
    pub(crate) member_cursors: MemberCursors,
}

impl Store {
    /// Opens the data in a directory, or an empty store in memory.
    pub(crate) fn open(settings: &Settings) -> io::Result<Self> {
        let mut keyspace = MemoryKeyspace::new(0);
        let journal = match settings.data_dir.as_deref() {
            Some(dir) => Some(Journal::open(dir, |batch| replay(&mut keyspace, &batch))?),
            None => None,
        };
        Ok(Self {
            keyspace,
            journal,
            done: vec![CommandBuffer::default()],
            seed: 0,
            instances: settings.instances,
            faults: settings.faults.clone(),
            surplus: HashMap::new(),
            cursors: Cursors::default(),
            member_cursors: MemberCursors::default(),
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
        // A part is replayed on its own.
        let part = self.done.last().map_or(0, CommandBuffer::count);
        let reply = command::write(&mut self.keyspace, args, Chance::call_seed(self.seed, part))?;
        // Reads have met them; nobody waits for their removal.
        self.keyspace.take_hidden();
        if let Some(spec) = command::lookup(args[0]).filter(|spec| spec.handler.may_write()) {
            if let Some(part) = self.done.last_mut() {
                part.push(args);
            }
            self.forget_surplus(spec, args);
        }
        Ok(reply)
    }

    /// What the client's command does from here on, the end of the process can take away without what it has done.
    pub(crate) fn begin_part(&mut self) {
        self.done.push(CommandBuffer::default());
    }

    /// Ends a client's command: what it did survives the process from here on.
    pub(crate) fn commit(&mut self) -> io::Result<()> {
        let mut done = std::mem::replace(&mut self.done, vec![CommandBuffer::default()]);
        done.retain(|part| !part.is_empty());
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let (now, seed) = (self.keyspace.now_ms(), self.seed);
        journal.append(done.iter().map(|part| Batch::new(now, seed, [part])))
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

    /// Whether a fault is on.
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.faults.has(fault)
    }

    /// How much more than it did the store believes to have removed from a set or a sorted set, and which it is.
    pub(crate) fn surplus(&self, key: &[u8]) -> Option<(Kind, i64)> {
        self.surplus.get(key).copied()
    }

    /// Adds to the surplus.
    pub(crate) fn add_surplus(&mut self, key: &[u8], kind: Kind, more: i64) {
        if more != 0 {
            self.surplus.entry(Bytes::copy_from_slice(key)).or_insert((kind, 0)).1 += more;
        }
    }

    /// A key that is removed, or becomes something else, is counted anew.
    fn forget_surplus(&mut self, spec: &Spec, args: &[&[u8]]) {
        match spec.name {
            _ if self.surplus.is_empty() => {}
            "del" => self.surplus.retain(|key, _| !args[1..].contains(&&key[..])),
            "flushall" | "flushdb" => self.surplus.clear(),
            _ => {
                for index in spec.key_indices(args) {
                    let kind = self.keyspace.meta(args[index]).ok().flatten().map(|meta| meta.kind);
                    if self
                        .surplus
                        .get(args[index])
                        .is_some_and(|(of, _)| kind.is_some_and(|kind| kind != *of))
                    {
                        self.surplus.remove(args[index]);
                    }
                }
            }
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
