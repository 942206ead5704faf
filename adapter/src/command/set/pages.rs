//! Walking a set in pages, so that members can be looked up elsewhere in one wave, and a set of any size takes
//! bounded memory.

use bytes::Bytes;

use crate::error::Outcome;
use crate::keyspace::{Flow, Keyspace, Point};

/// How many members a page holds. A page ends between points, so it may hold a few more.
pub(in crate::command) const PAGE: usize = 1024;

/// Gives all members of a set to `page`, a page at a time, until it breaks.
pub(in crate::command) fn visit(
    keyspace: &dyn Keyspace,
    key: &[u8],
    mut page: impl FnMut(Vec<Bytes>) -> Outcome<Flow>,
) -> Outcome<()> {
    let mut next = Some(Point::default());
    while let Some(from) = next.take() {
        let (mut members, mut last) = (Vec::new(), from);
        keyspace.set_visit(key, from, &mut |point, member| {
            if members.len() >= PAGE && point != last {
                next = Some(point);
                return Flow::Break(());
            }
            last = point;
            members.push(Bytes::copy_from_slice(member));
            Flow::Continue(())
        })?;
        if page(members)?.is_break() {
            break;
        }
    }
    Ok(())
}
