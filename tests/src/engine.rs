//! The table of what a node's data may be kept in. A test that names no engine runs on every row.
//!
//! `ENGINES` (`embedded,stand-in`) names the rows to run on; without it, they are all there are here. A real Kiwi is
//! there if `KIWI_BIN` names its binary.

use std::fmt::{self, Display};

/// What keeps a node's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The RocksDB inside the sidecar.
    Embedded,
    /// A Kiwi, played by `kiwi-stand-in`.
    StandIn,
    /// A real Kiwi.
    Kiwi,
}

use Engine::{Embedded, Kiwi, StandIn};

/// On a Kiwi: nothing is kept beside it that it can keep, so what is read comes from it.
pub const ALL_ON_KIWI: [(&str, &str); 2] = [("storage.keep_values", "0"), ("storage.cache_size", "0")];

impl Engine {
    /// Its name in `ENGINES`.
    pub fn name(self) -> &'static str {
        match self {
            Embedded => "embedded",
            StandIn => "stand-in",
            Kiwi => "kiwi",
        }
    }

    /// Whether a Kiwi, real or not, runs beside the node.
    pub fn is_kiwi(self) -> bool {
        self != Embedded
    }

    /// Whether it is there.
    fn is_here(self) -> bool {
        self != Kiwi || std::env::var_os("KIWI_BIN").is_some()
    }
}

impl Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The rows of the table.
pub fn all() -> Vec<Engine> {
    let wanted = std::env::var("ENGINES").ok();
    let wanted: Option<Vec<&str>> = wanted.as_deref().map(|names| names.split(',').collect());
    let mut rows = vec![Embedded, StandIn, Kiwi];
    if let Some(wanted) = &wanted {
        for name in wanted {
            let row = rows.iter().find(|row| row.name() == *name);
            let row = row.unwrap_or_else(|| panic!("ENGINES: there is no {name}"));
            assert!(row.is_here(), "ENGINES: {name} needs KIWI_BIN, which names its binary");
        }
        rows.retain(|row| wanted.contains(&row.name()));
    }
    rows.retain(|row| row.is_here());
    rows
}

/// The rows on which a Kiwi, real or not, runs beside each node.
pub fn kiwis() -> Vec<Engine> {
    all().into_iter().filter(|engine| engine.is_kiwi()).collect()
}

/// Runs a test on every row, and says on which.
pub fn on_each(test: impl FnMut(Engine)) {
    run(all(), test);
}

/// Runs a test on every row with a Kiwi, and says on which.
pub fn on_each_kiwi(test: impl FnMut(Engine)) {
    run(kiwis(), test);
}

#[allow(clippy::print_stdout, reason = "shown if the test fails")]
fn run(rows: Vec<Engine>, mut test: impl FnMut(Engine)) {
    for engine in rows {
        println!("--- on {engine}");
        test(engine);
    }
}
