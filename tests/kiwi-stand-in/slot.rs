//! Where a key is, and which keys may stand in one command.

use adapter::error::{Outcome, Stop};

/// Commands whose keys must have one checksum.
const SAME_SLOT: &[&str] =
    &["sinter", "sunion", "sdiff", "sinterstore", "sunionstore", "sdiffstore", "smove"];

/// Refuses keys of several slots where a Kiwi does.
pub(crate) fn check_slots(name: &str, keys: &[&[u8]]) -> Outcome<()> {
    if SAME_SLOT.contains(&name) && !all_equal(keys.iter().map(|key| slot(key))) {
        return Err(Stop::text(
            "ERR Invalid argument: CROSSSLOT Keys in request don't hash to the same slot",
        ));
    }
    Ok(())
}

/// Refuses keys of several instances where a Kiwi does.
pub(crate) fn check_instances(name: &str, keys: &[&[u8]], instances: u16) -> Outcome<()> {
    let text = match name {
        "rpoplpush" => "ERR Invalid argument: Cross-slot RPOPLPUSH operations are not supported",
        "bitop" => "ERR CROSSSLOT Keys in request don't hash to the same slot",
        _ => return Ok(()),
    };
    let one = all_equal(keys.iter().map(|key| instance(key, instances)));
    if one { Ok(()) } else { Err(Stop::text(text)) }
}

/// The instance that a key is in.
pub(crate) fn instance(key: &[u8], instances: u16) -> u16 {
    slot(key) % instances
}

fn all_equal(mut numbers: impl Iterator<Item = u16>) -> bool {
    let first = numbers.next();
    numbers.all(|number| Some(number) == first)
}

/// CRC-16/ARC of all of the key: there are no hash tags, and as many slots as values.
fn slot(key: &[u8]) -> u16 {
    key.iter().fold(0, |crc, byte| {
        (0..8)
            .fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0xa001 })
    })
}
