//! The patterns of BY and GET: `weight_*`, `object_*->field`, `#`.

use bytes::Bytes;
use memchr::memchr;
use memchr::memmem;

use crate::error::Outcome;
use crate::keyspace::{Keyspace, Kind};

/// What to look up for an element.
#[derive(Debug, PartialEq)]
pub(super) enum Pattern<'a> {
    /// `#`: the element itself.
    Element,
    /// No `*`: there is nothing to look up.
    Fixed,
    /// A key with the element in the place of `*`, and a field of it if it is to be a hash.
    Key { before: &'a [u8], after: &'a [u8], field: Option<&'a [u8]> },
}

impl<'a> Pattern<'a> {
    /// The first `*` counts; a `->` behind it that has something behind itself names a field.
    pub(super) fn parse(text: &'a [u8]) -> Self {
        if text == b"#" {
            return Self::Element;
        }
        let Some(star) = memchr(b'*', text) else { return Self::Fixed };
        let (before, behind) = (&text[..star], &text[star + 1..]);
        match memmem::find(behind, b"->") {
            Some(arrow) if arrow + 2 < behind.len() => {
                Self::Key { before, after: &behind[..arrow], field: Some(&behind[arrow + 2..]) }
            }
            _ => Self::Key { before, after: behind, field: None },
        }
    }

    /// Whether it has a `*`.
    pub(super) fn varies(&self) -> bool {
        matches!(self, Self::Key { .. })
    }

    /// What it finds for an element; none if the key, or the field, is missing or of another type.
    pub(super) fn lookup(&self, keyspace: &dyn Keyspace, element: &Bytes) -> Outcome<Option<Bytes>> {
        let (before, after, field) = match self {
            Self::Element => return Ok(Some(element.clone())),
            Self::Fixed => return Ok(None),
            Self::Key { before, after, field } => (*before, *after, *field),
        };
        let key = [before, element, after].concat();
        let kind = keyspace.meta(&key)?.map(|meta| meta.kind);
        match (kind, field) {
            (Some(Kind::Hash), Some(field)) => keyspace.hash_get(&key, field),
            (Some(Kind::String), None) => keyspace.string(&key),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn patterns_are_read_as_in_redis() {
        let key = |before, after, field| Pattern::Key { before, after, field };
        for (text, expected) in [
            (&b"#"[..], Pattern::Element),
            (b"", Pattern::Fixed),
            (b"nosort", Pattern::Fixed),
            (b"w_*", key(b"w_", b"", None)),
            (b"h_*x->f->g", key(b"h_", b"x", Some(b"f->g"))),
            (b"h_*->", key(b"h_", b"->", None)),
            (b"h->*", key(b"h->", b"", None)),
            (b"*_*", key(b"", b"_*", None)),
        ] {
            assert_eq!(Pattern::parse(text), expected);
        }
    }
}
