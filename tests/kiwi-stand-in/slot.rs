//! Which keys may stand in one command: those of one slot, or of one instance.

use adapter::error::{Outcome, Stop};

/// The number of slots, as in Redis Cluster.
const SLOTS: u16 = 16_384;
/// Commands whose keys must be in one slot.
const SAME_SLOT: &[&str] =
    &["sinter", "sunion", "sdiff", "sinterstore", "sunionstore", "sdiffstore", "smove"];
/// Commands whose keys must be in one instance. A Kiwi answers some of them wrongly instead of refusing.
const SAME_INSTANCE: &[&str] = &["rpoplpush", "bitop", "zunionstore", "zinterstore"];

/// Refuses keys of several slots where a Kiwi does.
pub(crate) fn check_slots(name: &str, keys: &[&[u8]]) -> Outcome<()> {
    if SAME_SLOT.contains(&name) && !all_equal(keys.iter().map(|key| slot(key))) {
        return Err(Stop::text("CROSSSLOT Keys in request don't hash to the same slot"));
    }
    Ok(())
}

/// Refuses keys of several instances.
pub(crate) fn check_instances(name: &str, keys: &[&[u8]], instances: u16) -> Outcome<()> {
    if SAME_INSTANCE.contains(&name) && !all_equal(keys.iter().map(|key| slot(key) % instances)) {
        return Err(Stop::text("ERR the keys are in different instances"));
    }
    Ok(())
}

fn all_equal(mut numbers: impl Iterator<Item = u16>) -> bool {
    let first = numbers.next();
    numbers.all(|number| Some(number) == first)
}

/// A key's slot: that of its hash tag, if it has one that is not empty.
fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let behind = &key[open + 1..];
        let close = behind.iter().position(|byte| *byte == b'}').filter(|close| *close > 0)?;
        Some(&behind[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM, the one of Redis Cluster's specification.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}
