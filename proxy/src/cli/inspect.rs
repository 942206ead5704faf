//! `raft-proxy snapshot inspect`: what a snapshot file, which a backup is, holds, after all of it was checked.

use std::collections::BTreeMap;
use std::path::Path;

use adapter::keyspace::Kind;
use adapter::snapshot::Survey;
use clap::ArgMatches;
use raft::backup::{Origin, OriginMember};
use serde::Serialize;
use tabled::Tabled;
use tabled::settings::Style;

use super::failure::Failure;
use super::stream;

const KINDS: [Kind; 5] = [Kind::String, Kind::List, Kind::Set, Kind::SortedSet, Kind::Hash];

/// All that is told of a file.
#[derive(Serialize)]
pub(super) struct Report {
    file: String,
    format: u16,
    cluster_id: String,
    #[serde(flatten)]
    origin: Origin,
    /// The time of the last write, Unix milliseconds.
    time_ms: u64,
    keys: u64,
    /// By the names that `TYPE` answers.
    keys_by_type: BTreeMap<&'static str, u64>,
    items: u64,
    deadlines: u64,
    raw_bytes: u64,
    file_bytes: u64,
    digest: String,
}

#[derive(Tabled)]
struct Row {
    what: String,
    value: String,
}

/// Checks a file and prints what it holds.
pub(super) fn run(args: &ArgMatches) -> Result<(), Failure> {
    let path = Path::new(args.get_one::<String>("file").map_or("", String::as_str));
    let (survey, file_bytes) = stream::check(path, "checking")?;
    let report = Report::of(path, &survey, file_bytes)?;
    if args.get_flag("json") {
        report.print_json()
    } else {
        println!("{}", report.table());
        Ok(())
    }
}

impl Report {
    /// Tells of a file that was checked.
    pub(super) fn of(path: &Path, survey: &Survey, file_bytes: u64) -> Result<Self, Failure> {
        let Survey { header, keys, deadlines, raw_bytes, trailer } = survey;
        let origin = Origin::of(&header.applied.position).map_err(Failure::because(path.display()))?;
        Ok(Self {
            file: path.display().to_string(),
            format: header.version as u16,
            cluster_id: String::from_utf8_lossy(&header.cluster_id).into_owned(),
            origin,
            time_ms: header.applied.now_ms,
            keys: trailer.keys,
            keys_by_type: KINDS
                .iter()
                .map(|kind| (kind.name(), keys.get(kind).copied().unwrap_or(0)))
                .collect(),
            items: trailer.items,
            deadlines: *deadlines,
            raw_bytes: *raw_bytes,
            file_bytes,
            digest: trailer.digest.to_string(),
        })
    }

    /// Prints all of it.
    pub(super) fn print_json(&self) -> Result<(), Failure> {
        println!("{}", self.json()?);
        Ok(())
    }

    /// All of it as JSON.
    pub(super) fn json(&self) -> Result<String, Failure> {
        serde_json::to_string_pretty(self).map_err(Failure::because("cannot write JSON"))
    }

    /// The same for people.
    pub(super) fn table(&self) -> String {
        let cluster = if self.cluster_id.is_empty() { "none" } else { &self.cluster_id };
        let by_type: Vec<String> =
            self.keys_by_type.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let facts = [
            ("file", self.file.clone()),
            ("format", self.format.to_string()),
            ("cluster", cluster.to_owned()),
            ("log index", self.origin.index.to_string()),
            ("term", self.origin.term.map_or_else(|| "none".to_owned(), |term| term.to_string())),
            ("members", members(&self.origin.members)),
            ("last write", if self.time_ms == 0 { "none".to_owned() } else { utc(self.time_ms) }),
            ("keys", self.keys.to_string()),
            ("by type", by_type.join(", ")),
            ("with a deadline", self.deadlines.to_string()),
            ("elements, members, fields", self.items.to_string()),
            ("bytes unpacked", self.raw_bytes.to_string()),
            ("bytes of the file", self.file_bytes.to_string()),
            ("digest", self.digest.clone()),
        ];
        let rows = facts.map(|(what, value)| Row { what: what.to_owned(), value });
        tabled::Table::new(rows).with(Style::sharp()).to_string()
    }
}

fn members(members: &[OriginMember]) -> String {
    if members.is_empty() {
        return "none".to_owned();
    }
    let listed = members.iter().map(|member| {
        let learner = if member.voter { "" } else { " (learner)" };
        format!("{}={}{learner}", member.id, member.raft)
    });
    listed.collect::<Vec<_>>().join(", ")
}

/// Unix milliseconds as `2026-01-31 23:59:59.123 UTC`.
fn utc(ms: u64) -> String {
    let (days, ms) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:03} UTC", ms % 1000)
}

/// The date of a day since 1970-01-01. Years are counted from March on, so that the leap day ends one (Howard
/// Hinnant's `civil_from_days`).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn a_time_is_written_as_a_date() {
        assert_eq!(utc(0), "1970-01-01 00:00:00.000 UTC");
        assert_eq!(utc(951_827_696_789), "2000-02-29 12:34:56.789 UTC");
        assert_eq!(utc(1_709_251_199_999), "2024-02-29 23:59:59.999 UTC");
        assert_eq!(utc(4_102_444_800_000), "2100-01-01 00:00:00.000 UTC");
    }
}
