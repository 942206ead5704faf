//! Comparing passwords.

/// Whether `given` is `wanted`, in a time that does not tell where the two differ.
pub(crate) fn is(wanted: &[u8], given: &[u8]) -> bool {
    let length = wanted.len().max(given.len());
    let byte = |bytes: &[u8], index: usize| bytes.get(index).copied().unwrap_or(0);
    let difference = (0..length).fold(wanted.len() ^ given.len(), |difference, index| {
        std::hint::black_box(difference | usize::from(byte(wanted, index) ^ byte(given, index)))
    });
    difference == 0
}
