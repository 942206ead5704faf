//! The command line and the configuration file: `key value` lines, as a Kiwi has them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;

use crate::fault::{Fault, Faults};

/// The port that a Kiwi listens on unless told otherwise.
const PORT: u16 = 7379;
/// How many RocksDB instances a Kiwi has unless told otherwise.
const INSTANCES: u16 = 3;

#[derive(Debug, Default, Parser)]
#[command(
    about = "Answers as a stand-alone Kiwi does, faults included",
    long_about = "Answers as a stand-alone Kiwi does, faults included, for tests that have no Kiwi at hand.\n\n\
                  SIGUSR1 is a power cut: what was written after the last mark, of which there is one every \
                  second, is cut from the data and the process exits at once. kill -9 loses nothing that was \
                  answered. SIGUSR2 has the storage refuse everything for a while."
)]
struct Arguments {
    /// A file of `key value` lines: port, binding, data-dir, db-instance-num, requirepass; other keys are ignored.
    /// The options below win over it
    #[arg(short, long)]
    config: Option<PathBuf>,
    /// The port to listen on [default: 7379]
    #[arg(long)]
    port: Option<u16>,
    /// The address to listen on [default: 127.0.0.1]
    #[arg(long)]
    binding: Option<String>,
    /// The directory to keep the data in; without it, in memory only
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The password that clients must give
    #[arg(long)]
    requirepass: Option<String>,
    /// How many instances the keys are spread over [default: 3]
    #[arg(long)]
    db_instance_num: Option<u16>,
    /// Faults to turn off
    #[arg(long, value_delimiter = ',')]
    without: Vec<Fault>,
    /// The probability of a storage command to be answered with a timeout, and to run later, up to three times.
    /// Off unless asked for: clients that see an error mostly give up
    #[arg(long, default_value_t = 0.0)]
    timeouts: f64,
    /// Replies are cut at so many bytes: on a loopback interface at megabytes, over a link with an MTU of 1500 at 78192
    #[arg(long, default_value_t = 3_866_614)]
    cut_replies_at: usize,
    /// Seconds for which the storage refuses everything after SIGUSR2
    #[arg(long, default_value_t = 1.0)]
    unavailable_for: f64,
    /// Seconds after which a write that was refused is given up
    #[arg(long, default_value_t = 29.9)]
    queued_for: f64,
}

/// Everything that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The port to listen on.
    pub(crate) port: u16,
    /// The address to listen on.
    pub(crate) binding: String,
    /// Where the data is kept, if anywhere.
    pub(crate) data_dir: Option<PathBuf>,
    /// The password, if there is one.
    pub(crate) password: Option<String>,
    /// How many instances the keys are spread over; at least one.
    pub(crate) instances: u16,
    /// The faults that are on.
    pub(crate) faults: Faults,
    /// The probability of a timeout, 0 to 1.
    pub(crate) timeouts: f64,
    /// How much of a longer reply is delivered, bytes.
    pub(crate) cut_replies_at: usize,
    /// How long the storage refuses everything when told to.
    pub(crate) unavailable_for: Duration,
    /// When a refused write is given up.
    pub(crate) queued_for: Duration,
}

impl Settings {
    /// Reads the command line, and the file that it names.
    pub(crate) fn read() -> Result<Self, String> {
        let given = Arguments::parse();
        let file = given.config.as_deref().map_or_else(|| Ok(Arguments::default()), read_file)?;
        if !(0.0..=1.0).contains(&given.timeouts) {
            return Err(format!("--timeouts {} is no probability", given.timeouts));
        }
        Ok(Self {
            port: given.port.or(file.port).unwrap_or(PORT),
            binding: given.binding.or(file.binding).unwrap_or_else(|| "127.0.0.1".to_owned()),
            data_dir: given.data_dir.or(file.data_dir),
            password: given.requirepass.or(file.requirepass),
            instances: given.db_instance_num.or(file.db_instance_num).unwrap_or(INSTANCES).max(1),
            faults: Faults { without: given.without },
            timeouts: given.timeouts,
            cut_replies_at: given.cut_replies_at,
            unavailable_for: seconds("--unavailable-for", given.unavailable_for)?,
            queued_for: seconds("--queued-for", given.queued_for)?,
        })
    }
}

fn seconds(option: &str, given: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(given).map_err(|error| format!("{option} {given}: {error}"))
}

fn read_file(path: &Path) -> Result<Arguments, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut found = Arguments::default();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let Some((key, value)) = line.split_once(char::is_whitespace) else { continue };
        let value = value.trim();
        let number =
            || value.parse::<u16>().map_err(|error| format!("{}: {key} {value}: {error}", path.display()));
        match key {
            "port" => found.port = Some(number()?),
            "db-instance-num" => found.db_instance_num = Some(number()?),
            "binding" => found.binding = Some(value.to_owned()),
            "data-dir" => found.data_dir = Some(value.into()),
            "requirepass" => found.requirepass = Some(value.to_owned()),
            _ => {}
        }
    }
    Ok(found)
}
