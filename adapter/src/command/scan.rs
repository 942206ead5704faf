//! What SCAN, HSCAN, SSCAN and ZSCAN share: their arguments, and the page that a call answers.
//!
//! A cursor is the [`Point`] in hash order where the next page starts; 0 starts, and ends. It needs no state, it
//! means the same on every replica and after any change: what is in the collection from the first page to the
//! last is answered. A page ends only between points, so elements of one point are never torn apart.

use crate::command::arg::{self, is, meta_of};
use crate::command::{Call, glob, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Flow, Keyspace, Kind, Point};
use crate::reply::Reply;

/// How many elements a page looks at if the call does not say.
const DEFAULT_COUNT: usize = 10;

const INVALID_CURSOR: Stop = Stop::text("ERR invalid cursor");

/// The arguments of a scan, from the cursor on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanArgs<'a> {
    /// Where the page starts; none if the cursor is past the last point, so that there is nothing to visit.
    pub from: Option<Point>,
    /// `MATCH`: the glob that names must match.
    pub pattern: Option<&'a [u8]>,
    /// `COUNT`: how many elements to look at, at least 1.
    pub count: usize,
    /// `TYPE`: the name of the type that keys must have. Any text: an unknown name matches nothing.
    pub kind_filter: Option<&'a [u8]>,
}

/// Reads a scan's arguments; `args` starts at the cursor. `TYPE` is for `SCAN` only.
pub fn parse<'a>(args: &[&'a [u8]], allow_type: bool) -> Outcome<ScanArgs<'a>> {
    let (cursor, mut options) = args.split_first().ok_or(text::SYNTAX)?;
    let from = parse_cursor(cursor)?;
    let mut parsed = ScanArgs { from, pattern: None, count: DEFAULT_COUNT, kind_filter: None };
    while let [option, value, rest @ ..] = options {
        if is(option, "count") {
            let count = arg::int(value)?;
            parsed.count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(text::SYNTAX)?;
        } else if is(option, "match") {
            parsed.pattern = Some(value);
        } else if allow_type && is(option, "type") {
            parsed.kind_filter = Some(value);
        } else {
            return Err(text::SYNTAX);
        }
        options = rest;
    }
    if options.is_empty() { Ok(parsed) } else { Err(text::SYNTAX) }
}

/// Reads the arguments of a scan of one key's collection, `HSCAN key cursor …`, in Redis's order: a bad cursor,
/// then a missing key (none: answer [`empty`], whatever the options), then a wrong type, then bad options.
pub fn parse_for_key<'a>(
    keyspace: &(impl Keyspace + ?Sized),
    call: &Call<'a>,
    kind: Kind,
) -> Outcome<Option<ScanArgs<'a>>> {
    parse_cursor(call.arg(2))?;
    match meta_of(keyspace, call.key(), kind)? {
        Some(_) => parse(call.from(2), false).map(Some),
        None => Ok(None),
    }
}

/// Reads a cursor as C's `strtoul` does, which Redis uses. None if it is past the last point.
fn parse_cursor(bytes: &[u8]) -> Outcome<Option<Point>> {
    let (negative, digits) = match bytes {
        [] => return Ok(Some(Point(0))),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(INVALID_CURSOR);
    }
    let number: u64 =
        std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or(INVALID_CURSOR)?;
    let point = Point(if negative { number.wrapping_neg() } else { number });
    Ok((point <= Point::MAX).then_some(point))
}

/// The reply of a scan that found nothing and is at its end.
pub fn empty() -> Reply {
    page(0, Vec::new())
}

fn page(cursor: u64, items: Vec<Reply>) -> Reply {
    let cursor = Reply::Bulk(super::number::format_u64(cursor));
    Reply::Array(vec![cursor, Reply::Array(items)])
}

/// Collects one page.
///
/// ```text
/// let Some(from) = args.from else { return Ok(scan::empty()) };
/// let mut pager = Pager::new(&args);
/// keyspace.set_visit(key, from, &mut |point, member| {
///     pager.offer(point, member, |items| items.push(Reply::bulk(member)))
/// })?;
/// Ok(pager.reply())
/// ```
#[derive(Debug)]
pub struct Pager<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    looked_at: usize,
    last: Option<Point>,
    cursor: u64,
    items: Vec<Reply>,
}

impl<'a> Pager<'a> {
    /// An empty page for these arguments.
    pub fn new(args: &ScanArgs<'a>) -> Self {
        let pattern = args.pattern.filter(|pattern| *pattern != b"*");
        Self { pattern, count: args.count, looked_at: 0, last: None, cursor: 0, items: Vec::new() }
    }

    /// Takes the next element of a visit. `add` puts its replies on the page if its name matches the pattern; it
    /// may decline (another type of key). Breaks if the page was full before this element.
    pub fn offer(&mut self, point: Point, name: &[u8], add: impl FnOnce(&mut Vec<Reply>)) -> Flow {
        if let Some(last) = self.last.filter(|last| *last != point && self.looked_at >= self.count) {
            // There is a point behind `last`: `point` is not before it.
            self.cursor = last.next().unwrap_or_default().0;
            return Flow::Break(());
        }
        self.last = Some(point);
        self.looked_at += 1;
        if self.pattern.is_none_or(|pattern| glob::matches(pattern, name)) {
            add(&mut self.items);
        }
        Flow::Continue(())
    }

    /// The reply: the next cursor and the page.
    pub fn reply(self) -> Reply {
        page(self.cursor, self.items)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its failure")]
mod tests {
    use super::*;

    fn args(text: &str) -> Vec<&[u8]> {
        text.split(' ').map(str::as_bytes).collect()
    }

    fn error(text: &str, allow_type: bool) -> String {
        match parse(&args(text), allow_type) {
            Err(Stop::Error(text)) => text.into_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn options_come_in_any_order_and_case_and_the_last_of_a_kind_wins() {
        let words = args("7 COUNT 5 match a* Type hash count 9");
        let parsed = parse(&words, true).unwrap();
        let expected =
            ScanArgs { from: Some(Point(7)), pattern: Some(b"a*"), count: 9, kind_filter: Some(b"hash") };
        assert_eq!(parsed, expected);
    }

    #[test]
    fn bad_arguments_are_answered_as_redis_answers_them() {
        for (words, expected) in [
            ("x", "ERR invalid cursor"),
            ("\t1", "ERR invalid cursor"),
            ("-", "ERR invalid cursor"),
            ("18446744073709551616", "ERR invalid cursor"),
            ("0 COUNT 0", "ERR syntax error"),
            ("0 COUNT -1", "ERR syntax error"),
            ("0 COUNT x", "ERR value is not an integer or out of range"),
            ("0 COUNT", "ERR syntax error"),
            ("0 FOO 1", "ERR syntax error"),
            ("0 TYPE hash", "ERR syntax error"),
        ] {
            assert_eq!(error(words, false), expected, "{words}");
        }
    }

    #[test]
    fn a_cursor_past_the_last_point_visits_nothing() {
        assert_eq!(parse(&[b"281474976710656"], false).unwrap().from, None);
        assert_eq!(parse(&[b"-1"], false).unwrap().from, None);
        assert_eq!(parse(&[b"281474976710655"], false).unwrap().from, Some(Point::MAX));
    }

    /// Pages through elements that are (point, name), as a client does.
    fn pages(elements: &[(u64, &str)], count: usize) -> Vec<Vec<String>> {
        let (mut cursor, mut all) = (0, Vec::new());
        loop {
            let parsed = ScanArgs { from: Some(Point(cursor)), pattern: None, count, kind_filter: None };
            let mut pager = Pager::new(&parsed);
            for (point, name) in elements.iter().filter(|(point, _)| *point >= cursor) {
                let step = pager
                    .offer(Point(*point), name.as_bytes(), |items| items.push(Reply::bulk(name.as_bytes())));
                if step.is_break() {
                    break;
                }
            }
            cursor = pager.cursor;
            all.push(pager.items.iter().map(|item| format!("{item:?}")).collect());
            if cursor == 0 {
                return all;
            }
        }
    }

    #[test]
    fn pages_end_between_points_and_every_element_is_on_exactly_one() {
        let elements =
            [(0, "a"), (1, "b"), (1, "c"), (1, "d"), (5, "e"), (Point::MAX.0, "f"), (Point::MAX.0, "g")];
        for count in 1..9 {
            let pages = pages(&elements, count);
            assert_eq!(pages.iter().flatten().count(), elements.len(), "COUNT {count}");
            assert!(pages.iter().all(|page| !page.is_empty()));
        }
        assert_eq!(pages(&elements, 1).iter().map(Vec::len).collect::<Vec<_>>(), [1, 3, 1, 2]);
    }

    #[test]
    fn elements_that_do_not_match_are_looked_at_all_the_same() {
        let parsed = parse(&[b"0", b"match", b"x*", b"count", b"2"], false).unwrap();
        let mut pager = Pager::new(&parsed);
        assert!(pager.offer(Point(1), b"a", |_| panic!("does not match")).is_continue());
        assert!(pager.offer(Point(2), b"xb", |items| items.push(Reply::Null)).is_continue());
        assert!(pager.offer(Point(3), b"xc", |_| panic!("page is full")).is_break());
        let expected = Reply::Array(vec![Reply::bulk(b"3"), Reply::Array(vec![Reply::Null])]);
        assert_eq!(pager.reply(), expected);
    }
}
