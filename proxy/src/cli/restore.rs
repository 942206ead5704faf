//! `raft-proxy restore`: the data directory of a node of a new cluster, from a backup.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use conf::{ClusterConfig, StorageKind};
use raft::restore::{Restore, RestoreError};

use super::failure::Failure;
use super::{private, settings, stream};

/// Checks the backup whole, then makes the directory.
pub(super) fn run(args: &ArgMatches) -> Result<(), Failure> {
    let path = Path::new(args.get_one::<String>("file").map_or("", String::as_str));
    private::keep();
    let mut config = settings::load(args)?.config;
    if let Some(dir) = args.get_one::<String>("dir") {
        config.node.data_dir = PathBuf::from(dir);
    }
    if !config.cluster.enabled && config.storage.kind == StorageKind::Memory {
        let why =
            "a stand-alone node with storage.kind = \"memory\" keeps nothing, so there is nothing to restore";
        return Err(Failure::Usage(why.to_owned()));
    }
    let (survey, length) = stream::check(path, "checking")?;
    let restore = Restore::begin(&config, &survey.header, survey.trailer.digest).map_err(failed)?;
    let bar = stream::bar("restoring", Some(length));
    let file = File::open(path).map_err(Failure::because(path.display()))?;
    let backup = bar.wrap_read(BufReader::new(file));
    if config.cluster.enabled {
        restore.lay_down(backup).map_err(failed)?;
    } else {
        let backup = restore.stream(backup).map_err(Failure::because(path.display()))?;
        fill(&config, backup)?;
    }
    bar.finish_and_clear();
    let cluster_id = restore.finish().map_err(failed)?;
    private::close_directory(&config.node.data_dir);
    let (node, dir) = (config.own_id().max(1), config.node.data_dir.display());
    let (keys, index) = (survey.trailer.keys, survey.header.applied.position.index);
    if cluster_id.is_empty() {
        println!("{dir}: a stand-alone node with {keys} keys as of index {index}.");
    } else {
        println!("{dir}: node {node} of the new cluster {cluster_id}, with {keys} keys as of index {index}.");
        println!("Restore every other member from the same file before you start it.");
    }
    Ok(())
}

fn failed(error: RestoreError) -> Failure {
    match error {
        RestoreError::Start(_) | RestoreError::SameCluster(_) => Failure::Usage(error.to_string()),
        _ => Failure::Failed(error.to_string()),
    }
}

/// Fills the storage of a stand-alone node, which has no snapshots that it would fill itself from.
fn fill(config: &ClusterConfig, backup: impl Read + Send + 'static) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::because("cannot start the runtime"))?;
    let _inside = runtime.enter();
    let adapter = adapter::open(config).map_err(Failure::because("cannot open the storage"))?;
    let filled = runtime.block_on(adapter.install(Box::new(backup)));
    filled.map(drop).map_err(Failure::because("cannot fill the storage"))
}
