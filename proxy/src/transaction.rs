//! What a connection has queued since `MULTI`.

use adapter::CommandBuffer;
use adapter::command::Handler;
use bytes::Bytes;

use crate::lookup::Found;

/// Commands that wait for `EXEC`.
pub(crate) struct Transaction {
    /// Those for the storage, in their order: they are one proposal.
    pub(crate) data: CommandBuffer,
    /// The same, as long as all of them read.
    pub(crate) reads: Option<Vec<Vec<Bytes>>>,
    /// All, in their order.
    pub(crate) queued: Vec<Queued>,
    /// A command was refused: `EXEC` runs none of them.
    pub(crate) is_refused: bool,
    /// Bytes that the arguments take which are kept apart.
    kept_bytes: usize,
}

/// A command that waits.
pub(crate) enum Queued {
    /// One for the storage.
    Data(Found),
    /// One that the proxy answers itself, with its arguments.
    Front(Found, Vec<Bytes>),
}

impl Default for Transaction {
    fn default() -> Self {
        Self {
            data: CommandBuffer::default(),
            reads: Some(Vec::new()),
            queued: Vec::new(),
            is_refused: false,
            kept_bytes: 0,
        }
    }
}

impl Transaction {
    /// Adds a command behind the others.
    pub(crate) fn push(&mut self, found: Found, args: &[&[u8]]) {
        if matches!(found.spec.handler, Handler::Front) {
            let args = self.keep(args);
            self.queued.push(Queued::Front(found, args));
            return;
        }
        self.data.push(args);
        self.queued.push(Queued::Data(found));
        if found.spec.handler.may_write() {
            self.reads = None;
        } else if self.reads.is_some() {
            let args = self.keep(args);
            self.reads.get_or_insert_default().push(args);
        }
    }

    fn keep(&mut self, args: &[&[u8]]) -> Vec<Bytes> {
        self.kept_bytes += args.iter().map(|arg| arg.len() + size_of::<Bytes>()).sum::<usize>();
        args.iter().map(|arg| Bytes::copy_from_slice(arg)).collect()
    }

    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.data.bytes().len() + self.kept_bytes + self.queued.len() * size_of::<Queued>()
    }
}
