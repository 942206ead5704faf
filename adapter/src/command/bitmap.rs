//! The bitmap commands: strings as rows of bits, the first bit of a byte being its highest.
//!
//! | module | what it holds |
//! |---|---|
//! | [`bit`] | one bit |
//! | [`count`] | BITCOUNT and BITPOS |
//! | [`op`] | BITOP |
//! | [`field`] | BITFIELD: integers of any width at any place |
//! | [`pieces`] | reading a part of a string without holding it |

mod bit;
mod count;
mod field;
mod integer;
mod op;
mod pieces;

use crate::command::{Flags, Group, Keys, Spec};

const WRITE: Flags = Flags::DENYOOM;

/// The commands of this group.
pub static COMMANDS: &[Spec] = &[
    Spec::write("setbit", 4, Group::Bitmap, bit::setbit).with(
        WRITE,
        "2.2.0",
        "O(1)",
        "Sets or clears the bit at offset in the string value stored at key",
    ),
    Spec::read("getbit", 3, Group::Bitmap, bit::getbit).with(
        Flags::FAST,
        "2.2.0",
        "O(1)",
        "Returns the bit value at offset in the string value stored at key",
    ),
    Spec::read("bitcount", -2, Group::Bitmap, count::bitcount).with(
        Flags::SLOW,
        "2.6.0",
        "O(N)",
        "Count set bits in a string",
    ),
    Spec::read("bitpos", -3, Group::Bitmap, count::bitpos).with(
        Flags::SLOW,
        "2.8.7",
        "O(N)",
        "Find first bit set or clear in a string",
    ),
    Spec::write("bitop", -4, Group::Bitmap, op::bitop)
        .keys(Keys::Range { first: 2, last: -1, step: 1 })
        .with(WRITE.or(Flags::SLOW), "2.6.0", "O(N)", "Perform bitwise operations between strings"),
    Spec::write("bitfield", -2, Group::Bitmap, field::bitfield).with(
        WRITE,
        "3.2.0",
        "O(1) for each subcommand specified",
        "Perform arbitrary bitfield integer operations on strings",
    ),
    Spec::read("bitfield_ro", -2, Group::Bitmap, field::bitfield_ro).with(
        Flags::FAST,
        "6.0.0",
        "O(1) for each subcommand specified",
        "Perform arbitrary bitfield integer operations on strings. Read-only variant of BITFIELD",
    ),
];

#[cfg(test)]
mod tests;
