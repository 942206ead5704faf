//! Finding keys: KEYS, SCAN, RANDOMKEY.

use crate::command::random::{Chance, pick_one};
use crate::command::scan::{self, Pager};
use crate::command::{Call, glob};
use crate::error::Outcome;
use crate::keyspace::{Flow, Keyspace, Point};
use crate::reply::Reply;

/// `KEYS pattern`
pub(super) fn keys(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let pattern = call.arg(1);
    let mut found = Vec::new();
    keyspace.visit_keys(Point(0), &mut |_, key, _| {
        if glob::matches(pattern, key) {
            found.push(Reply::bulk(key));
        }
        Flow::Continue(())
    })?;
    Ok(Reply::Array(found))
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
pub(super) fn scan(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let args = scan::parse(call.from(1), true)?;
    let Some(from) = args.from else { return Ok(scan::empty()) };
    let mut pager = Pager::new(&args);
    keyspace.visit_keys(from, &mut |point, key, meta| {
        pager.offer(point, key, |items| {
            let name = meta.kind.name().as_bytes();
            if args.kind_filter.is_none_or(|filter| filter.eq_ignore_ascii_case(name)) {
                items.push(Reply::bulk(key));
            }
        })
    })?;
    Ok(pager.reply())
}

/// `RANDOMKEY`
pub(super) fn randomkey(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let picked = pick_one(&mut Chance::new(call.seed), &mut |from, each| {
        keyspace.visit_keys(from, &mut |point, key, _| each(point, key))
    })?;
    Ok(Reply::bulk_or_null(picked))
}
