//! Listens, and starts everything else: the batcher, the marks in the journal, the wait for a power cut.

use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::batcher::Batcher;
use crate::connection::Connection;
use crate::fault::Fault;
use crate::options::Settings;
use crate::store::Store;

/// How many connections are served at a time.
const CONNECTIONS: usize = 1000;
/// How long a further one waits for one of them to go.
const WAIT: Duration = Duration::from_secs(30);
/// How often the data becomes safe from a power cut.
const MARK: Duration = Duration::from_secs(1);

/// What all connections share.
pub(crate) struct Shared {
    /// What was asked for.
    pub(crate) settings: Settings,
    /// The way to the storage.
    pub(crate) batcher: Batcher,
}

/// What is shared, locked. A command that panicked would have ended the process' use anyway.
pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves until something fails.
pub(crate) async fn run(settings: Settings) -> Result<(), String> {
    raise_file_limit();
    let listener = match TcpListener::bind((settings.binding.as_str(), settings.port)).await {
        Ok(listener) => listener,
        Err(error) if settings.faults.has(Fault::SilentPort) => {
            eprintln!("kiwi-stand-in: stays without listening: {error}");
            return pending().await;
        }
        Err(error) => return Err(format!("port {}: {error}", settings.port)),
    };
    let store = Store::open(&settings);
    let store = Arc::new(Mutex::new(store.map_err(|error| format!("data: {error}"))?));
    let power_cut = signal(SignalKind::user_defined1()).map_err(|error| format!("signals: {error}"))?;
    let unavailable = signal(SignalKind::user_defined2()).map_err(|error| format!("signals: {error}"))?;
    tokio::spawn(cut_power(Arc::clone(&store), power_cut));
    tokio::spawn(mark(Arc::clone(&store)));
    let batcher = Batcher::start(store, &settings);
    tokio::spawn(make_unavailable(batcher.clone(), unavailable));
    accept(listener, Arc::new(Shared { settings, batcher })).await
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) -> Result<(), String> {
    let limited = shared.settings.faults.has(Fault::ConnectionLimit);
    let places = Arc::new(Semaphore::new(if limited { CONNECTIONS } else { Semaphore::MAX_PERMITS }));
    let mut id = 0;
    loop {
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Out of files, or a client that left at once: others may still come.
            Err(error) => {
                eprintln!("kiwi-stand-in: accept: {error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        id += 1;
        tokio::spawn(serve(stream, id, Arc::clone(&shared), Arc::clone(&places)));
    }
}

async fn serve(stream: TcpStream, id: i64, shared: Arc<Shared>, places: Arc<Semaphore>) {
    let Ok(place) = timeout(WAIT, places.acquire_owned()).await else {
        // If it fails, the client sees the end of the connection instead of a reset.
        let _ = stream.set_zero_linger();
        return;
    };
    // However the connection ends, it is the client's affair.
    let _ = Connection::new(stream, id, shared).serve().await;
    drop(place);
}

/// Everything up to a mark survives a power cut.
async fn mark(store: Arc<Mutex<Store>>) {
    let mut ticks = tokio::time::interval(MARK);
    loop {
        ticks.tick().await;
        if let Err(error) = lock(&store).mark() {
            fail(&error);
        }
    }
}

async fn make_unavailable(batcher: Batcher, mut signal: Signal) {
    while signal.recv().await.is_some() {
        batcher.make_unavailable();
    }
}

/// Takes away what a power cut would take, and the process with it.
async fn cut_power(store: Arc<Mutex<Store>>, mut signal: Signal) {
    if signal.recv().await.is_none() {
        return;
    }
    // The lock is kept to the end, so that nothing is written behind the cut.
    let mut store = lock(&store);
    if let Err(error) = store.cut_power() {
        fail(&error);
    }
    eprintln!("kiwi-stand-in: power cut");
    std::process::exit(1);
}

/// A journal that can't be written makes every answer a lie.
pub(crate) fn fail(error: &io::Error) -> ! {
    eprintln!("kiwi-stand-in: journal: {error}");
    std::process::exit(1);
}

/// A thousand connections need more files than a shell usually allows.
fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // With fewer, fewer connections are accepted.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
