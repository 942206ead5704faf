//! Whether a log is the one that is meant, and all there, before anything is written to it.

use std::io;
use std::path::Path;

use super::disk::{Disk, Recovered};
use super::error::OpenError;
use super::extent::{Extent, Reach, ReadError};
use super::options::Options;
use crate::data_id::DataId;

/// Makes sure that the log is the one that is meant, and all there, before anything is written to it; a new one is
/// given its id.
pub(super) fn identify(
    path: &Path,
    beside: &Path,
    disk: &Disk,
    recovered: &Recovered,
    options: &Options,
) -> Result<(DataId, Extent), OpenError> {
    let foreign = |expected| OpenError::Foreign { path: path.to_owned(), found: recovered.data, expected };
    let bad_extent = |reason: String| OpenError::Extent { path: beside.to_owned(), reason };
    if let Some(expected) = options.data.filter(|expected| recovered.data != Some(*expected)) {
        let is_new = recovered.data.is_none() && recovered.reach() == Reach::default();
        return Err(if is_new { OpenError::Lost { path: path.to_owned() } } else { foreign(expected) });
    }
    let found = Extent::read(beside).map_err(|error| match error {
        ReadError::Io(error) => bad_extent(format!("cannot be read ({error})")),
        ReadError::Damaged => bad_extent("is damaged".to_owned()),
        ReadError::Version(found) => {
            bad_extent(format!("has the version {found}, which this program does not know"))
        }
    });
    let found = match found {
        Err(_) if options.accepts_losses => None,
        found => found?,
    };
    let data = recovered.data.unwrap_or_else(DataId::random);
    let reach = recovered.reach();
    let extent = match found {
        Some(found) if found.data != data => return Err(foreign(found.data)),
        Some(found) if reach.covers(&found.reach) => Some(found),
        Some(_) if options.accepts_losses => None,
        Some(found) => return Err(cut(path, reach, found.reach)),
        // It is made before the identity file names the log.
        None if options.data.is_some() && !options.accepts_losses => {
            return Err(bad_extent("is missing".to_owned()));
        }
        None => None,
    };
    disk.claim(data)?;
    let unusable = |error: io::Error| bad_extent(format!("cannot be written ({error})"));
    let mut extent = match extent {
        Some(found) => Extent::open(beside, found).map_err(unusable)?,
        None => Extent::create(beside, data, reach).map_err(unusable)?,
    };
    // What is there was synced by the claim.
    extent.set(reach).map_err(unusable)?;
    Ok((data, extent))
}

fn cut(path: &Path, is: Reach, was: Reach) -> OpenError {
    let say = |reach: Reach| {
        let end = match reach.end.checked_sub(1) {
            Some(last) => format!("index {last}"),
            None => "no entry".to_owned(),
        };
        let term = reach.vote.map_or(0, |vote| vote.leader_id.term);
        format!("{end} and a vote of term {term}")
    };
    OpenError::Cut { path: path.to_owned(), found: say(is), known: say(was) }
}
