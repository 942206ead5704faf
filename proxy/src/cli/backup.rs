//! `raft-proxy backup`: a snapshot of a running cluster, read from one of its nodes into a file.
//!
//! The file gets its name only when it was read back whole and is on disk. Until then it has a temporary name beside
//! it, and is removed when anything goes wrong, Ctrl-C included. Standard output (`-`) cannot take anything back:
//! what goes there is checked on the way, and the exit code says whether all of it was right.

mod checked;

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adapter::durable_file;
use adapter::snapshot::Survey;
use clap::ArgMatches;
use raft::backup::MOST_PIECE;
use redis_protocol::resp2::types::BytesFrame;
use tempfile::NamedTempFile;

use super::client::Client;
use super::failure::Failure;
use super::inspect::Report;
use super::{private, stop, stream};
use checked::Checked;

/// How long the node may take for one answer; it answers a piece that is not written yet after a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// What standard output is called in errors.
const NAME_OF_OUTPUT: &str = "to standard output";

/// Writes a snapshot of the cluster to a file.
pub(super) fn run(args: &ArgMatches) -> Result<(), Failure> {
    let text = |name: &str| args.get_one::<String>(name).map(String::as_str);
    let path = PathBuf::from(text("file").unwrap_or_default());
    if path.as_os_str() == "-" {
        return to_standard_output(args);
    }
    private::keep();
    let force = args.get_flag("force");
    if !force && path.symlink_metadata().is_ok() {
        return Err(exists(&path));
    }
    let mut client = Client::connect(text("from").unwrap_or_default(), text("password"), PATIENCE)?;
    let mut file = make_unfinished(&path)?;
    let index = receive(&mut client, file.as_file_mut(), &path.display())?;
    file.as_file().sync_all().map_err(Failure::because(path.display()))?;
    let (survey, bytes) = stream::check(file.path(), "checking")?;
    compare(&survey, index)?;
    let report = Report::of(&path, &survey, bytes)?;
    name(file, &path, force)?;
    if args.get_flag("json") {
        report.print_json()
    } else {
        println!("{}", report.table());
        Ok(())
    }
}

/// Writes a snapshot of the cluster to standard output; what there is to say of it goes to standard error.
fn to_standard_output(args: &ArgMatches) -> Result<(), Failure> {
    let text = |name: &str| args.get_one::<String>(name).map(String::as_str);
    let mut output = std::io::stdout();
    if output.is_terminal() {
        let why = "a backup is not for a terminal; give a file's name, or pass it on to another program";
        return Err(Failure::Usage(why.to_owned()));
    }
    let mut client = Client::connect(text("from").unwrap_or_default(), text("password"), PATIENCE)?;
    let mut checked = Checked::new(&mut output);
    let received = receive(&mut client, &mut checked, &NAME_OF_OUTPUT);
    let checked = checked.finish();
    let index = received?;
    let (survey, bytes) = checked.map_err(Failure::because("the backup is damaged, throw it away"))?;
    compare(&survey, index)?;
    output.flush().map_err(Failure::because(format!("cannot write {NAME_OF_OUTPUT}")))?;
    let report = Report::of(Path::new("-"), &survey, bytes)?;
    if args.get_flag("json") {
        eprintln!("{}", report.json()?);
    } else {
        eprintln!("{}", report.table());
    }
    Ok(())
}

/// Checks that a node has sent what it has announced.
fn compare(survey: &Survey, announced: u64) -> Result<(), Failure> {
    let found = survey.header.applied.position.index;
    if found == announced {
        return Ok(());
    }
    Err(Failure::Failed(format!("the node announced a snapshot at {announced} and sent one at {found}")))
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

/// Reads a snapshot from the node; answers the index that the node said it is of.
fn receive(client: &mut Client, output: &mut impl Write, name: &dyn Display) -> Result<u64, Failure> {
    let cannot = format!("cannot write {name}");
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
        output.write_all(&bytes).map_err(Failure::because(&cannot))?;
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
    durable_file::sync_directory(directory).map_err(Failure::because(directory.display()))
}
