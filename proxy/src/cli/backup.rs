//! `raft-proxy backup`: a snapshot of a running cluster, read from one of its nodes into a file.
//!
//! The file gets its name only when it was read back whole and is on disk. Until then it has a temporary name beside
//! it, and is removed when anything goes wrong, Ctrl-C included.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::ArgMatches;
use raft::backup::MOST_PIECE;
use redis_protocol::resp2::types::BytesFrame;
use tempfile::NamedTempFile;

use super::client::Client;
use super::inspect::Report;
use super::{Failure, stop, stream};

/// How long the node may take for one answer; it answers a piece that is not written yet after a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Writes a snapshot of the cluster to a file.
pub(super) fn run(args: &ArgMatches) -> Result<(), Failure> {
    let text = |name: &str| args.get_one::<String>(name).map(String::as_str);
    let path = PathBuf::from(text("file").unwrap_or_default());
    let force = args.get_flag("force");
    if !force && path.symlink_metadata().is_ok() {
        return Err(exists(&path));
    }
    let mut client = Client::connect(text("from").unwrap_or_default(), text("password"), PATIENCE)?;
    let mut file = make_unfinished(&path)?;
    let index = receive(&mut client, file.as_file_mut(), &path)?;
    file.as_file().sync_all().map_err(Failure::because(path.display()))?;
    let (survey, bytes) = stream::check(file.path(), "checking")?;
    let found = survey.header.applied.position.index;
    if found != index {
        return Err(Failure::Failed(format!(
            "the node announced a snapshot at {index} and sent one at {found}"
        )));
    }
    let report = Report::of(&path, &survey, bytes)?;
    name(file, &path, force)?;
    if args.get_flag("json") {
        report.print_json()
    } else {
        println!("{}", report.table());
        Ok(())
    }
}

fn exists(path: &Path) -> Failure {
    Failure::Failed(format!("{} exists already; --force replaces it", path.display()))
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a file beside the one that is wanted, which also goes when the process is asked to stop.
fn make_unfinished(path: &Path) -> Result<NamedTempFile, Failure> {
    let made = Arc::new(Mutex::new(None::<PathBuf>));
    let unfinished = Arc::clone(&made);
    stop::exit_after(move || {
        // Held while the file is being made.
        if let Some(path) = unfinished.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It is gone if it has just got its name.
            let _ = std::fs::remove_file(path);
        }
    })?;
    let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
    let file = beside(path)?;
    *made = Some(file.path().to_owned());
    Ok(file)
}

/// A file beside the one that is wanted, which is removed if it is not given its name. Only its owner can read it.
fn beside(path: &Path) -> Result<NamedTempFile, Failure> {
    let name = path.file_name().ok_or_else(|| Failure::Usage(format!("{} names no file", path.display())))?;
    let mut prefix = name.to_owned();
    prefix.push(".");
    let file = tempfile::Builder::new().prefix(&prefix).suffix(".unfinished").tempfile_in(directory(path));
    file.map_err(Failure::because(format!("cannot write beside {}", path.display())))
}

/// Reads a snapshot from the node into a file; answers the index that the node said it is of.
fn receive(client: &mut Client, file: &mut File, path: &Path) -> Result<u64, Failure> {
    let (name, index) = match array(client.call(&["RAFT.SNAPSHOT", "BEGIN"])?)? {
        [BytesFrame::BulkString(name), BytesFrame::Integer(index)] => {
            (String::from_utf8_lossy(&name).into_owned(), number(index)?)
        }
        _ => return Err(strange()),
    };
    let bar = stream::bar("receiving", None);
    let (mut at, piece) = (0_u64, MOST_PIECE.to_string());
    loop {
        let reply = client.call(&["RAFT.SNAPSHOT", "READ", &name, &at.to_string(), &piece])?;
        let [BytesFrame::BulkString(bytes), whole] = array(reply)? else { return Err(strange()) };
        file.write_all(&bytes).map_err(Failure::because(format!("cannot write {}", path.display())))?;
        at += bytes.len() as u64;
        bar.set_position(at);
        match whole {
            BytesFrame::Null => {}
            BytesFrame::Integer(whole) if number(whole)? > at && !bytes.is_empty() => {
                bar.set_length(number(whole)?);
            }
            BytesFrame::Integer(whole) if number(whole)? == at => break,
            _ => return Err(strange()),
        }
    }
    bar.finish_and_clear();
    // Else it goes by itself a little later.
    drop(client.call(&["RAFT.SNAPSHOT", "END", &name]));
    Ok(index)
}

fn array(frame: BytesFrame) -> Result<[BytesFrame; 2], Failure> {
    match frame {
        BytesFrame::Array(items) => items.try_into().map_err(|_| strange()),
        _ => Err(strange()),
    }
}

fn number(integer: i64) -> Result<u64, Failure> {
    u64::try_from(integer).map_err(|_| strange())
}

fn strange() -> Failure {
    Failure::Failed("the node gave an answer of another form; is it of another version?".to_owned())
}

/// Gives the file its name, durably.
fn name(file: NamedTempFile, path: &Path, force: bool) -> Result<(), Failure> {
    let named = if force { file.persist(path) } else { file.persist_noclobber(path) };
    match named {
        Ok(_) => {}
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => return Err(exists(path)),
        Err(error) => return Err(Failure::Failed(format!("{}: {}", path.display(), error.error))),
    }
    let directory = directory(path);
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(Failure::because(directory.display()))
}
