//! `raft-proxy recover`: a cluster of one, from a node of a cluster that has lost its majority for good.

use clap::ArgMatches;
use raft::recover::RecoverError;

use super::failure::Failure;
use super::{private, settings};
use crate::telemetry;

const WARNING: &str = "recover makes this node the only member of a new cluster. What the other members have committed and \
    this node has not is lost, and they must never run again as members of the old cluster that clients use. It is for a \
    cluster whose majority is lost for good, on the node that has most of the log (see raft-proxy status). To do it, give \
    --unsafe";

/// Recovers the node that the configuration names, if that was confirmed.
pub(super) fn run(args: &ArgMatches) -> Result<(), Failure> {
    if !args.get_flag("unsafe") {
        return Err(Failure::Usage(WARNING.to_owned()));
    }
    private::keep();
    let loaded = settings::load(args)?;
    telemetry::start(&loaded)?;
    let config = loaded.config;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::because("cannot start the runtime"))?;
    let done = runtime.block_on(raft::recover::recover(&config)).map_err(|error| match error {
        RecoverError::SameCluster(_) => Failure::Usage(error.to_string()),
        _ => Failure::Failed(error.to_string()),
    })?;
    private::close_directory(&config.node.data_dir);
    println!("Node {} is the only member of the new cluster {}.", done.node, done.new_cluster);
    println!("The cluster {} is given up; its members were {:?}.", done.old_cluster, done.old_members);
    println!("What was done is written in {}.", done.record.display());
    println!("Start the node; add others with empty data directories and new ids.");
    Ok(())
}
