//! How the text of a value is read and written.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::expected::Expected;
use crate::member::Member;
use crate::memory_bound::MemoryBound;

/// Bytes in the units that Redis and systemd users write; powers of 1024 throughout.
const SIZES: &[(&str, u64)] = &[
    ("gib", 1 << 30),
    ("gb", 1 << 30),
    ("g", 1 << 30),
    ("mib", 1 << 20),
    ("mb", 1 << 20),
    ("m", 1 << 20),
    ("kib", 1 << 10),
    ("kb", 1 << 10),
    ("k", 1 << 10),
    ("b", 1),
];

/// Durations; the longest suffix that fits is taken first.
const DURATIONS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

/// Reads a whole number inside a range.
pub fn number(text: &str, range: RangeInclusive<u64>) -> Result<u64, Expected> {
    let wanted = || Expected::from(format!("a whole number from {} to {}", range.start(), range.end()));
    let value = text.trim().parse::<u64>().map_err(|_| wanted())?;
    if range.contains(&value) { Ok(value) } else { Err(wanted()) }
}

/// Reads `true` or `false`.
pub fn boolean(text: &str) -> Result<bool, Expected> {
    match text.trim() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("true or false".into()),
    }
}

/// Reads a duration such as `200ms`, `5s`, `1m`; a bare number is milliseconds.
pub fn duration(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, Expected> {
    let wanted = || {
        let (least, most) = (write_duration(*range.start()), write_duration(*range.end()));
        Expected::from(format!("a duration such as \"200ms\" or \"5s\", from {least} to {most}"))
    };
    let value = Duration::from_millis(scaled(text, DURATIONS, 1).ok_or_else(wanted)?);
    if range.contains(&value) { Ok(value) } else { Err(wanted()) }
}

/// Reads a size such as `64MiB`, `1gb`; a bare number is bytes.
pub fn size(text: &str, range: RangeInclusive<u64>) -> Result<u64, Expected> {
    let wanted = || {
        let (least, most) = (write_size(*range.start()), write_size(*range.end()));
        Expected::from(format!("a size such as \"64MiB\", from {least} to {most}"))
    };
    let value = scaled(text, SIZES, 1).ok_or_else(wanted)?;
    if range.contains(&value) { Ok(value) } else { Err(wanted()) }
}

fn scaled(text: &str, units: &[(&str, u64)], bare: u64) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let (digits, unit) = units
        .iter()
        .find_map(|(suffix, unit)| lower.strip_suffix(suffix).map(|digits| (digits, *unit)))
        .unwrap_or((&lower, bare));
    digits.trim_end().parse::<u64>().ok()?.checked_mul(unit)
}

/// Writes a duration in the largest unit that keeps it whole.
pub fn write_duration(value: Duration) -> String {
    let ms = value.as_millis() as u64;
    match ms {
        0 => "0s".to_owned(),
        ms if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        ms if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

/// Writes a size in the largest unit that keeps it whole.
pub fn write_size(value: u64) -> String {
    for (unit, name) in [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if value > 0 && value.is_multiple_of(unit) {
            return format!("{}{name}", value / unit);
        }
    }
    format!("{value}B")
}

/// Reads a bound on memory: a size up to `most`, or a part of what there is such as `25%`.
pub fn memory(text: &str, most: u64) -> Result<MemoryBound, Expected> {
    let wanted = || {
        let most = write_size(most);
        Expected::from(format!("a size such as \"64MiB\", from 0 to {most}, or from \"1%\" to \"100%\""))
    };
    if let Some(digits) = text.trim().strip_suffix('%') {
        return number(digits, 1..=100).map(|n| MemoryBound::Percent(n as u32)).map_err(|_| wanted());
    }
    match size(text, 0..=most).map_err(|_| wanted())? {
        0 => Ok(MemoryBound::Unbounded),
        bytes => Ok(MemoryBound::Bytes(bytes)),
    }
}

/// Writes a bound on memory.
pub fn write_memory(value: MemoryBound) -> String {
    match value {
        MemoryBound::Unbounded => "0".to_owned(),
        MemoryBound::Bytes(bytes) => write_size(bytes),
        MemoryBound::Percent(percent) => format!("{percent}%"),
    }
}

/// Reads `ip:port`.
pub fn socket(text: &str) -> Result<SocketAddr, Expected> {
    text.trim().parse().map_err(|_| "an IP address and a port such as 127.0.0.1:6400 or [::]:6400".into())
}

/// Reads `host:port`, where host is a name or an address.
pub fn host_port(text: &str) -> Result<String, Expected> {
    let wanted = || Expected::from("a host and a port such as node1.example:16400");
    let text = text.trim();
    let (host, port) = text.rsplit_once(':').ok_or_else(wanted)?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let plain = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    match port.parse::<u16>() {
        Ok(port) if port > 0 && (bracketed || plain) => Ok(text.to_owned()),
        _ => Err(wanted()),
    }
}

/// Reads members separated by commas: `1=a:16400,2=b:16400`.
pub fn members(text: &str) -> Result<Vec<Member>, Expected> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(member).collect()
}

/// Reads seeds separated by commas: `a:1,_raft._tcp.example`.
pub fn seeds(text: &str) -> Result<Vec<String>, Expected> {
    let wanted = |item: &str| {
        Expected::from(format!(
            "a list of addresses written host:port, or of names of SRV records; {item:?} is none"
        ))
    };
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| seed(item).map_err(|_| wanted(item))).collect()
}

/// Reads `host:port`, or the name of SRV records, which begins with an underscore: `_raft._tcp.example`.
pub fn seed(text: &str) -> Result<String, Expected> {
    let text = text.trim();
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if text.starts_with('_') && text.bytes().all(is_name) { Ok(text.to_owned()) } else { host_port(text) }
}

fn member(text: &str) -> Result<Member, Expected> {
    let wanted = || Expected::from(format!("a list of members written id=host:port; {text:?} is not one"));
    let (id, address) = text.split_once('=').ok_or_else(wanted)?;
    let id = id.trim().parse::<u64>().ok().filter(|id| *id > 0).ok_or_else(wanted)?;
    Ok(Member { id, address: host_port(address).map_err(|_| wanted())? })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_read_what_they_write() {
        for value in [0, 1, 1023, 1024, 1536, 1 << 20, 512 << 20, 3 << 30] {
            assert_eq!(size(&write_size(value), 0..=u64::MAX).unwrap(), value);
        }
        for ms in [0, 1, 200, 1000, 1500, 60_000, 90_000] {
            let value = Duration::from_millis(ms);
            assert_eq!(duration(&write_duration(value), Duration::ZERO..=Duration::MAX).unwrap(), value);
        }
    }

    #[test]
    fn a_bound_on_memory_is_a_size_or_a_percentage() {
        for text in ["0", "1536B", "64MiB", "1%", "100%"] {
            assert_eq!(write_memory(memory(text, 1 << 40).unwrap()), text);
        }
        for bad in ["", "%", "0%", "101%", "-1", "2TiB", "1025GiB"] {
            assert!(memory(bad, 1 << 40).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_of_the_wrong_form_are_refused() {
        assert!(size("64 parsecs", 0..=u64::MAX).is_err());
        assert!(size("99999999999999999999", 0..=u64::MAX).is_err());
        assert!(size("18446744073709551615g", 0..=u64::MAX).is_err());
        assert!(duration("-1s", Duration::ZERO..=Duration::MAX).is_err());
        assert!(number("0", 1..=5).is_err());
        assert!(boolean("yes").is_err());
        assert!(socket("localhost:1").is_err());
        for bad in ["a", "a:0", "a:70000", ":1", "a b:1", ""] {
            assert!(host_port(bad).is_err(), "{bad}");
        }
        for bad in ["1", "0=a:1", "x=a:1", "1=a"] {
            assert!(members(bad).is_err(), "{bad}");
        }
        assert_eq!(members("1=a:1, 2=[::1]:2").unwrap().len(), 2);
    }
}
