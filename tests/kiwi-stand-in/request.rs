//! Which requests are too long: with every read from its socket, a Kiwi parses a request again from the beginning, and
//! gives up when it has parsed a million arguments in all.

use bytes::Bytes;

/// What a read brings, bytes. It is 4096 at most, and a little less on average.
const READ: usize = 4000;
/// The most parsed arguments, all reads together.
const PARSED: usize = 1_000_000;
/// The most arguments of a request.
const ARGS: usize = 65_536;

/// Whether a Kiwi resets the connection that this request comes on.
pub(crate) fn is_too_long(args: &[Bytes]) -> bool {
    let reads = args.iter().map(encoded).sum::<usize>().div_ceil(READ);
    let (mut end, mut parsed) = (0, 0);
    for arg in args {
        end += encoded(arg);
        parsed += 1 + reads - end.div_ceil(READ);
    }
    args.len() > ARGS || parsed > PARSED
}

/// The length of an argument on the wire.
fn encoded(arg: &Bytes) -> usize {
    let digits = arg.len().checked_ilog10().unwrap_or(0) as usize + 1;
    digits + arg.len() + b"$\r\n\r\n".len()
}
