//! HSET with several pairs and MSET, which are several writes: a pair each, and one for each instance.

use adapter::Reply;
use adapter::error::Outcome;

use super::integer;
use crate::slot;
use crate::store::Store;

/// `HSET key field value [field value ...]`
pub(super) fn hset(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let (head, pairs) = args.split_at(2);
    if !pairs.len().is_multiple_of(2) {
        return store.run(args);
    }
    let mut added = 0;
    for pair in pairs.chunks_exact(2) {
        store.begin_part();
        added += integer(&store.run(&[head, pair].concat())?);
    }
    Ok(Reply::Integer(added))
}

/// `MSET key value [key value ...]`
pub(super) fn mset(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let (name, pairs) = args.split_at(1);
    if !pairs.len().is_multiple_of(2) {
        return store.run(args);
    }
    for instance in 0..store.instances() {
        let is_here = |pair: &&[&[u8]]| slot::instance(pair[0], store.instances()) == instance;
        let here: Vec<&[u8]> = pairs.chunks_exact(2).filter(is_here).flatten().copied().collect();
        if !here.is_empty() {
            store.begin_part();
            store.run(&[name, &here].concat())?;
        }
    }
    Ok(Reply::OK)
}
