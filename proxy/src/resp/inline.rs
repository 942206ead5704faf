//! Inline commands: a line of words, quoted as in a shell, for people with `telnet` or `nc`.
//!
//! The rules are those of Redis's `sdssplitargs`: words are separated by blanks; `"..."` knows `\n`, `\r`, `\t`,
//! `\b`, `\a`, `\xHH` and `\` before any other byte; `'...'` knows `\'` only; behind a closing quote must be a
//! blank or the end.

/// A quote is not closed, or something stands right behind a closing quote.
#[derive(Debug, PartialEq, Eq)]
pub struct Unbalanced;

/// Splits a line into words, unescaping them in place (a word never grows). Adds the start and the end of each,
/// both shifted by `offset`, to `words`.
pub fn split(line: &mut [u8], offset: usize, words: &mut Vec<(usize, usize)>) -> Result<(), Unbalanced> {
    // As in Redis, which reads the line as a C string, nothing behind a zero byte is seen.
    let length = memchr::memchr(0, line).unwrap_or(line.len());
    let line = &mut line[..length];
    let mut read = 0;
    loop {
        while line.get(read).is_some_and(|byte| is_space(*byte)) {
            read += 1;
        }
        if read == line.len() {
            return Ok(());
        }
        let start = read;
        let (next, end) = word(line, start, start)?;
        words.push((offset + start, offset + end));
        read = next;
    }
}

/// Unescapes one word from `read` to `write`; answers where both stand behind it.
fn word(line: &mut [u8], mut read: usize, mut write: usize) -> Result<(usize, usize), Unbalanced> {
    while let Some(&byte) = line.get(read) {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => break,
            b'"' | b'\'' => {
                (read, write) = quoted(line, read + 1, write, byte)?;
                return match line.get(read) {
                    Some(next) if !is_space(*next) => Err(Unbalanced),
                    _ => Ok((read, write)),
                };
            }
            _ => {
                line[write] = byte;
                (read, write) = (read + 1, write + 1);
            }
        }
    }
    Ok((read, write))
}

/// Unescapes up to the closing `quote`; answers the places behind it.
fn quoted(
    line: &mut [u8],
    mut read: usize,
    mut write: usize,
    quote: u8,
) -> Result<(usize, usize), Unbalanced> {
    loop {
        let byte = *line.get(read).ok_or(Unbalanced)?;
        if byte == quote {
            return Ok((read + 1, write));
        }
        let (value, length) = match (byte, quote) {
            (b'\\', b'"') => escape(&line[read..]),
            (b'\\', _) if line.get(read + 1) == Some(&b'\'') => (b'\'', 2),
            _ => (byte, 1),
        };
        line[write] = value;
        (read, write) = (read + length, write + 1);
    }
}

/// The byte that an escape in double quotes stands for, and the escape's length.
fn escape(text: &[u8]) -> (u8, usize) {
    match text {
        [_, b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            (hex(*high) << 4 | hex(*low), 4)
        }
        [_, b'n', ..] => (b'\n', 2),
        [_, b'r', ..] => (b'\r', 2),
        [_, b't', ..] => (b'\t', 2),
        [_, b'b', ..] => (8, 2),
        [_, b'a', ..] => (7, 2),
        [_, other, ..] => (*other, 2),
        _ => (b'\\', 1),
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Vec<Vec<u8>>, Unbalanced> {
        let (mut bytes, mut words) = (line.as_bytes().to_vec(), Vec::new());
        split(&mut bytes, 0, &mut words)?;
        Ok(words.into_iter().map(|(start, end)| bytes[start..end].to_vec()).collect())
    }

    #[test]
    fn words_are_split_as_redis_splits_them() {
        for (line, expected) in [
            ("  set k  v ", vec!["set", "k", "v"]),
            (r#"a "b c" 'd e'"#, vec!["a", "b c", "d e"]),
            (r#"a"b" c"#, vec!["ab", "c"]),
            (r#""\x41\n\q\"" '\'\n'"#, vec!["A\nq\"", "'\\n"]),
            (r#""" ''"#, vec!["", ""]),
            (r#""\xZZ""#, vec!["xZZ"]),
            ("", vec![]),
            (" \t ", vec![]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|word| word.as_bytes().to_vec()).collect();
            assert_eq!(words(line).unwrap(), expected, "{line}");
        }
        for line in [r#"a "b"#, "'a", r#""a"b"#, "'a'b", r#""a\"#] {
            assert_eq!(words(line), Err(Unbalanced), "{line}");
        }
    }
}
