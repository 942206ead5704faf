//! `raft-proxy serve`: one node, from configuration to exit.
//!
//! The order matters: the whole configuration is read and checked, then the listeners are bound, and only then is
//! anything written. So a wrong configuration leaves everything as it was.
//!
//! A node whose storage or log fails ends here too, with the exit code for what went wrong.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use clap::ArgMatches;
use conf::origin::Origin;
use conf::{ClusterConfig, ConfigError, Loaded};
use raft::Handle;
use raft::node::Node;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::failure::Failure;
use super::{private, reload, settings, stop};
use crate::descriptors::Descriptors;
use crate::http::Http;
use crate::reload::Reloader;
use crate::server::{DRAIN, Server};
use crate::{metrics, telemetry};

/// How long what still runs has to end, when everything that matters has.
const LAST_TASKS: Duration = Duration::from_secs(1);

/// How long a node whose standard input has ended may go on trying to come into its cluster.
const ARRIVAL: Duration = Duration::from_secs(10);

/// The bound listeners of a node.
struct Listeners {
    resp: TcpListener,
    raft: Option<TcpListener>,
    http: Option<TcpListener>,
}

/// What somebody is told who has said nothing of where the node's data shall be.
const NO_FILE: &str = "there is no configuration: give --config FILE, a cluster.conf (examples/ has some, and `raft-proxy \
    config reference` prints every option), or say by flags or environment what the node shall be, and with \
    --node-data-dir where its data shall be. `raft-proxy demo` runs a whole cluster on this machine, to try things out";

/// Runs a node until it is told to stop.
pub(super) fn run(args: &ArgMatches) -> Result<(), Failure> {
    private::keep();
    let sources = settings::sources(args);
    let loaded = sources.load()?;
    // A directory for data is not made wherever somebody happens to stand.
    if sources.file.is_none() && *loaded.origin("node.data_dir") == Origin::Default {
        return Err(Failure::Usage(NO_FILE.to_owned()));
    }
    telemetry::start(&loaded)?;
    for danger in conf::check::dangers(&loaded.config) {
        tracing::warn!("{danger}");
    }
    let descriptors = Descriptors::of_process(&loaded.config).map_err(Failure::because("cannot start"))?;
    let listeners = bind(&loaded)?;
    descriptors.tell(&loaded.config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::because("cannot start the runtime"))?;
    let reloader = Arc::new(Reloader::within(descriptors, loaded, sources));
    let until_stdin_closes = args.get_flag("until-stdin-closes");
    let served = runtime.block_on(async {
        tokio::select! {
            served = serve(reloader, listeners, descriptors, until_stdin_closes) => served,
            reason = raft::failure::failed() => Err(Failure::Failed(reason.to_owned())),
        }
    });
    // A snapshot that is being written is not waited for: what is there of it is removed at the next start.
    runtime.shutdown_timeout(LAST_TASKS);
    served
}

fn bind(loaded: &Loaded) -> Result<Listeners, ConfigError> {
    let listen = &loaded.config.listen;
    let raft = loaded.config.cluster.enabled.then_some(listen.raft);
    Ok(Listeners {
        resp: bind_one(loaded, "listen.resp", listen.resp)?,
        raft: raft.map(|address| bind_one(loaded, "listen.raft", address)).transpose()?,
        http: listen.http.map(|address| bind_one(loaded, "listen.http", address)).transpose()?,
    })
}

fn bind_one(loaded: &Loaded, name: &str, address: SocketAddr) -> Result<TcpListener, ConfigError> {
    raft::listener::bind(address)
        .map_err(|error| loaded.error(name, format!("cannot listen on {address}: {error}")))
}

async fn serve(
    reloader: Arc<Reloader>,
    listeners: Listeners,
    descriptors: Descriptors,
    until_stdin_closes: bool,
) -> Result<(), Failure> {
    // From here on they do not end the process, also while it waits for the other members.
    let mut asked = stop::Signals::new().map_err(Failure::because("cannot watch for signals"))?;
    let signals = reload::Signals::new().map_err(Failure::because("cannot watch for signals"))?;
    let mut tasks = JoinSet::new();
    tasks.spawn(signals.obey(Arc::clone(&reloader)));
    let config = ClusterConfig::clone(&reloader.live().load());
    if config.node.watch_config {
        tasks.spawn(reload::watch(Arc::clone(&reloader)));
    }
    let is_of_a_node = private::is_of_a_node(&config.node.data_dir);
    raft::node::claim_data_dir(&config).map_err(Failure::because("cannot start the node"))?;
    if is_of_a_node {
        private::close_directory(&config.node.data_dir);
    }
    // Whoever counts something asks the registry for it when it is made.
    let registry = metrics::install();
    let http = Http::new(reloader.live().clone(), Arc::clone(&registry), descriptors.http);
    let _http = serve_http(&http, listeners.http)?;
    let adapter = adapter::open(&config).map_err(Failure::because("cannot open the storage"))?;
    let live = reloader.live();
    let (handle, arrival): (Handle, _) = match listeners.raft {
        Some(raft) => {
            let raft = tokio::net::TcpListener::from_std(raft).map_err(Failure::because("cannot listen"))?;
            let begun = Node::begin(live.clone(), adapter, raft);
            let (handle, arrival) = begun.map_err(Failure::because("cannot start the node"))?;
            (handle, Some(arrival))
        }
        None => (raft::standalone::Standalone::start(live.clone(), adapter), None),
    };
    let resp =
        tokio::net::TcpListener::from_std(listeners.resp).map_err(Failure::because("cannot listen"))?;
    let server = Server::new(handle.clone(), Arc::clone(&reloader));
    let interval = config.log.performance_interval;
    let tell = metrics::performance::tell(registry, handle.clone(), interval);
    let _telling = AbortOnDropHandle::new(tokio::spawn(tell));
    // Clients are answered while the node is on its way into its cluster, if only with how it is.
    let mut arrived = Ok(());
    let (here, mut is_here) = watch::channel(false);
    let stop = async {
        let arriving = async {
            match arrival {
                Some(arrival) => arrival.await,
                None => Ok(()),
            }
        };
        let serving = async {
            arrived = arriving.await.map_err(Failure::because("cannot start the node"));
            if arrived.is_ok() {
                here.send_replace(true);
                http.open(server.shared());
                let (node, clients) = (handle.status().id, live.load().listen.resp);
                tracing::info!(node, %clients, "ready for clients");
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = asked.any() => {}
            () = async {
                stdin_closed().await;
                // Whoever has nothing to say may still want to hear why the node cannot start.
                let _ = timeout(ARRIVAL, is_here.wait_for(|here| *here)).await;
            }, if until_stdin_closes => {}
            () = serving => {}
        }
    };
    server.run(resp, stop, DRAIN).await;
    handle.shutdown().await;
    tracing::info!("stopped");
    arrived
}

/// Serves HTTP, if it has a listener, until the answer is dropped.
fn serve_http(
    http: &Arc<Http>,
    listener: Option<TcpListener>,
) -> Result<Option<AbortOnDropHandle<()>>, Failure> {
    let Some(listener) = listener else { return Ok(None) };
    let listener = tokio::net::TcpListener::from_std(listener).map_err(Failure::because("cannot listen"))?;
    Ok(Some(AbortOnDropHandle::new(tokio::spawn(Arc::clone(http).run(listener)))))
}

/// Ends when standard input does. The thread that reads it is left behind: a read cannot be called off.
async fn stdin_closed() {
    let (closed, wait) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        // What is read is of no matter: only the end is.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(closed);
    });
    // The sender is only ever dropped.
    let _ = wait.await;
}
