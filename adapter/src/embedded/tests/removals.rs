//! What removals leave behind: counted, not timed.

use rocksdb::WriteBatch;
use rocksdb::perf::{PerfContext, PerfMetric, PerfStatsLevel, set_perf_stats};

use super::{new_store, position, setup};
use crate::embedded::db::schema::Family;
use crate::embedded::db::store::Setup;
use crate::embedded::db::store::Store;
use crate::embedded::keyspace::txn::Txn;
use crate::embedded::keyspace::view::{Pace, View};
use crate::keyspace::{End, Keyspace, KeyspaceMut};

/// Range tombstones in a write buffer at which it is flushed.
const MOST_RANGES: u64 = 128;

/// How many stored entries this thread has walked over while it worked.
fn steps<T>(work: impl FnOnce() -> T) -> (u64, T) {
    set_perf_stats(PerfStatsLevel::EnableCount);
    let mut context = PerfContext::default();
    context.reset();
    let result = work();
    let walked = [
        PerfMetric::InternalKeySkippedCount,
        PerfMetric::InternalDeleteSkippedCount,
        PerfMetric::NextOnMemtableCount,
        PerfMetric::PrevOnMemtableCount,
    ];
    let count = walked.into_iter().map(|metric| context.metric(metric)).sum();
    set_perf_stats(PerfStatsLevel::Disable);
    (count, result)
}

fn run(store: &Store, index: &mut u64, work: impl FnOnce(&mut Txn<'_>)) {
    let mut txn = Txn::begin(store, None);
    work(&mut txn);
    *index += 1;
    txn.commit(position(*index)).unwrap();
}

fn some_of_each(txn: &mut Txn<'_>, n: u32) {
    for (name, part) in [("a", 0_u32), ("b", 1), ("c", 2)] {
        let key = format!("{name}:{n}");
        txn.string_put(key.as_bytes(), b"value", Some(u64::from(n) + 1_000_000)).unwrap();
        let key = format!("hash:{name}");
        txn.hash_put(key.as_bytes(), &part.to_be_bytes(), b"value").unwrap();
        let key = format!("zset:{name}");
        txn.zset_put(key.as_bytes(), &part.to_be_bytes(), f64::from(n)).unwrap();
        let key = format!("list:{name}");
        txn.list_push(key.as_bytes(), End::Tail, b"element").unwrap();
    }
}

#[test]
fn the_write_after_the_thousandth_flushall_steps_over_no_more_than_that_after_the_first() {
    let (_dir, store) = new_store();
    let (mut index, mut most) = (0, 0);
    for n in 0..1000 {
        let (walked, ()) = steps(|| {
            run(&store, &mut index, |txn| some_of_each(txn, n));
            run(&store, &mut index, |txn| txn.clear().unwrap());
        });
        most = most.max(walked);
        let ranges = store.tombstones().most();
        assert!(ranges < MOST_RANGES, "{ranges} range tombstones wait after {n} FLUSHALLs");
    }
    // What was removed since the write buffer was written out last, which the bound on range tombstones sees to.
    // Without it, it would be all that was ever removed: some 20,000 entries at the end.
    assert!(most < 4000, "{most} entries were walked over");
    assert_eq!(View::fixed(&store, 0).key_count().unwrap(), 0);
    assert_eq!(View::fixed(&store, 0).due_keys(u64::MAX - 1, 10).unwrap().len(), 0);
    // With four files in level 0 of a family they are compacted; meanwhile some more may come.
    let files = store.property("rocksdb.num-files-at-level0");
    assert!(files < 10 * 20, "{files} files");
}

#[test]
fn flushall_on_an_empty_store_leaves_nothing_behind() {
    let (_dir, store) = new_store();
    let mut index = 0;
    run(&store, &mut index, |txn| txn.clear().unwrap());
    let before = store.tombstones().most();
    for _ in 0..50 {
        run(&store, &mut index, |txn| txn.clear().unwrap());
    }
    assert_eq!(store.tombstones().most(), before);
}

#[test]
fn flushall_removes_keys_that_begin_with_any_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(&dir.path().join("1"), &Setup { dirty_log: true, ..setup() }).unwrap();
    let names = [&[0_u8][..], &[0xff; 8], &[0xff; 9], &[0xff; 10], &[0xff; 40], b""];
    let mut batch = WriteBatch::default();
    for name in names {
        store.put(&mut batch, Family::Placements, name, b"x").unwrap();
    }
    store.write(batch).unwrap();
    let mut batch = WriteBatch::default();
    store.delete_all(&mut batch, Family::Placements).unwrap();
    store.write(batch).unwrap();
    for name in names {
        assert!(store.get(None, Family::Placements, name, |_| ()).unwrap().is_none(), "{name:?}");
    }
}

#[test]
fn removing_and_replacing_small_collections_lays_no_range_tombstones() {
    let (_dir, store) = new_store();
    let mut index = 0;
    for n in 0..300_u32 {
        run(&store, &mut index, |txn| {
            for member in 0..100_u32 {
                txn.set_put(b"set", &member.to_be_bytes()).unwrap();
                txn.zset_put(b"zset", &member.to_be_bytes(), f64::from(n)).unwrap();
                txn.hash_put(b"new", &member.to_be_bytes(), b"value").unwrap();
                txn.list_push(b"list", End::Tail, b"element").unwrap();
            }
        });
        let mut txn = Txn::begin(&store, None);
        txn.remove(b"set").unwrap();
        txn.remove(b"zset").unwrap();
        txn.remove(b"list").unwrap();
        txn.rename(b"new", b"replaced").unwrap();
        assert_eq!(txn.source.effect_counts().1, 0);
        index += 1;
        txn.commit(position(index)).unwrap();
    }
    let (walked, ()) = steps(|| run(&store, &mut index, |txn| assert!(txn.remove(b"replaced").unwrap())));
    assert!(walked < 500, "{walked} entries were walked over to remove 100");
    assert_eq!(store.tombstones().most(), 0);
}

#[test]
fn removing_many_large_collections_never_lets_range_tombstones_gather() {
    let (_dir, store) = new_store();
    let mut index = 0;
    for n in 0..300_u32 {
        run(&store, &mut index, |txn| {
            for _ in 0..600 {
                txn.list_push(b"list", End::Tail, b"").unwrap();
            }
        });
        run(&store, &mut index, |txn| assert!(txn.remove(b"list").unwrap()));
        let ranges = store.tombstones().most();
        assert!(ranges < MOST_RANGES, "{ranges} range tombstones wait after {n} lists");
    }
}

#[test]
fn looking_for_due_keys_steps_over_none_that_were_removed_before() {
    const KEYS: u64 = 20_000;
    const AT_ONCE: usize = 512;
    let (_dir, store) = new_store();
    let mut index = 0;
    run(&store, &mut index, |txn| {
        for n in 1..=KEYS {
            txn.string_put(&n.to_be_bytes(), b"v", Some(n)).unwrap();
        }
    });
    let due = || View::short(&store, KEYS, Pace::Unhurried).due_keys(KEYS, AT_ONCE).unwrap();
    let (mut removed, mut most) = (0, 0);
    loop {
        let (walked, keys) = steps(due);
        most = most.max(walked);
        if keys.is_empty() {
            break;
        }
        removed += keys.len() as u64;
        run(&store, &mut index, |txn| {
            txn.advance(KEYS);
            keys.iter().for_each(|key| assert!(txn.reap(key).unwrap()));
        });
    }
    assert_eq!(removed, KEYS);
    assert!(most < 8 * AT_ONCE as u64, "{most} entries were walked over to find {AT_ONCE}");
    // None was due; now one is that is earlier than all that were looked for.
    run(&store, &mut index, |txn| txn.string_put(b"late", b"v", Some(5)).unwrap());
    assert_eq!(due(), ["late"]);
}
