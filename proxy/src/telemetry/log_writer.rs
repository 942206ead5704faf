//! Where log lines go: a thread of their own writes them, so that nobody who logs waits for a disk or a terminal.
//!
//! Lines wait in memory up to a bound; beyond it they are lost, and the log says how many were. An error is written
//! before whoever logs it goes on, because the process may be about to end.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::rotation::{Bounds, LogFile};

/// Bytes of lines that wait to be written.
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;
/// How long an error may take to be written before whoever logs it goes on.
const ERROR_PATIENCE: Duration = Duration::from_millis(200);
/// How often it is said, on standard error, that the log cannot be written.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Where lines end up.
pub(super) enum Sink {
    /// Standard error.
    Stderr,
    /// A file.
    File(LogFile),
}

enum Job {
    Line(Vec<u8>),
    Reopen,
    /// Tells when everything before it is written.
    Flush(Sender<()>),
}

#[derive(Default)]
struct Counts {
    waiting: AtomicUsize,
    lost: AtomicU64,
    max_bytes: AtomicU64,
    max_files: AtomicU32,
}

/// The way to the thread. Cheap to clone.
#[derive(Clone)]
pub(super) struct LogWriter {
    jobs: Sender<Job>,
    shared: Arc<Counts>,
}

impl LogWriter {
    /// Starts the thread. It lives as long as the process.
    pub(super) fn start(sink: Sink, bounds: Bounds) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let writer = Self { jobs, shared: Arc::default() };
        writer.bound(bounds);
        let thread = Thread { sink, queue, shared: Arc::clone(&writer.shared), complained: None };
        std::thread::Builder::new().name("log".to_owned()).spawn(move || thread.run())?;
        Ok(writer)
    }

    /// Changes how much is kept of a file.
    pub(super) fn bound(&self, bounds: Bounds) {
        self.shared.max_bytes.store(bounds.max_bytes, Ordering::Relaxed);
        self.shared.max_files.store(bounds.max_files, Ordering::Relaxed);
    }

    /// Goes on in the file that has the name now.
    pub(super) fn reopen(&self) {
        // The thread ends with the process.
        let _ = self.jobs.send(Job::Reopen);
    }

    /// Waits until everything that was logged before is written, or `patience` is over.
    pub(super) fn flush(&self, patience: Duration) {
        let (done, wait) = channel();
        if self.jobs.send(Job::Flush(done)).is_ok() {
            // Whoever waits goes on either way.
            let _ = wait.recv_timeout(patience);
        }
    }

    fn add(&self, line: &[u8]) {
        let before = self.shared.waiting.fetch_add(line.len(), Ordering::AcqRel);
        if before + line.len() > MAX_WAITING_BYTES || self.jobs.send(Job::Line(line.to_owned())).is_err() {
            self.shared.waiting.fetch_sub(line.len(), Ordering::AcqRel);
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Takes one line.
pub(super) struct LineWriter {
    writer: LogWriter,
    is_error: bool,
}

impl Write for LineWriter {
    /// Called once for each line, with the whole of it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.writer.add(line);
        if self.is_error {
            self.writer.flush(ERROR_PATIENCE);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = LineWriter;

    fn make_writer(&'a self) -> LineWriter {
        LineWriter { writer: self.clone(), is_error: false }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> LineWriter {
        LineWriter { writer: self.clone(), is_error: *metadata.level() == Level::ERROR }
    }
}

struct Thread {
    sink: Sink,
    queue: Receiver<Job>,
    shared: Arc<Counts>,
    complained: Option<Instant>,
}

impl Thread {
    fn run(mut self) {
        while let Ok(job) = self.queue.recv() {
            match job {
                Job::Line(line) => self.write(&line),
                Job::Reopen => {
                    if let Sink::File(file) = &mut self.sink {
                        let reopened = file.reopen();
                        self.judge(reopened);
                    }
                }
                Job::Flush(done) => {
                    // Whoever waited may have gone on.
                    let _ = done.send(());
                }
            }
        }
    }

    fn write(&mut self, line: &[u8]) {
        let bounds = Bounds {
            max_bytes: self.shared.max_bytes.load(Ordering::Relaxed),
            max_files: self.shared.max_files.load(Ordering::Relaxed),
        };
        let written = match &mut self.sink {
            Sink::Stderr => io::stderr().write_all(line),
            Sink::File(file) => file.append(line, bounds),
        };
        self.judge(written);
        self.shared.waiting.fetch_sub(line.len(), Ordering::AcqRel);
        let lost = self.shared.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "log lines are lost: they came faster than they could be written");
        }
    }

    /// A log that cannot be written can be told of in one place only.
    fn judge(&mut self, result: io::Result<()>) {
        let Err(error) = result else { return };
        if self.complained.is_none_or(|at| at.elapsed() >= COMPLAINT_INTERVAL) {
            self.complained = Some(Instant::now());
            // Nobody is left to tell if standard error is gone too.
            let _ = writeln!(io::stderr(), "raft-proxy: the log cannot be written as it should: {error}");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const NO_BOUNDS: Bounds = Bounds { max_bytes: 0, max_files: 1 };

    #[test]
    fn lines_of_many_threads_arrive_whole_and_each_threads_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let writer = LogWriter::start(Sink::File(LogFile::open(&path).unwrap()), NO_BOUNDS).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let writer = &writer;
                scope.spawn(move || {
                    for line in 0..500 {
                        writer.make_writer().write_all(format!("{thread} {line}\n").as_bytes()).unwrap();
                    }
                });
            }
        });
        writer.flush(Duration::from_secs(10));
        let text = std::fs::read_to_string(&path).unwrap();
        for thread in 0..8 {
            let own = text.lines().filter_map(|line| line.strip_prefix(&format!("{thread} ")));
            let wanted: Vec<String> = (0..500).map(|line| line.to_string()).collect();
            assert_eq!(own.collect::<Vec<_>>(), wanted);
        }
    }

    #[test]
    fn what_is_over_the_bound_is_lost_and_counted() {
        let (jobs, queue) = channel();
        let writer = LogWriter { jobs, shared: Arc::default() };
        let line = vec![b'x'; MAX_WAITING_BYTES / 2];
        for _ in 0..5 {
            writer.add(&line);
        }
        assert_eq!(writer.shared.lost.load(Ordering::Relaxed), 3);
        assert_eq!(queue.try_iter().count(), 2);
    }
}
