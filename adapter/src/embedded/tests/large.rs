//! Large values and collections: what they cost.

use super::{MIB, copy_of, new_store, position, setup};
use crate::embedded::db::store::Store;
use crate::embedded::keyspace::txn::Txn;
use crate::embedded::keyspace::view::View;
use crate::keyspace::{End, Keyspace, KeyspaceMut};

#[test]
fn a_string_of_100_mib_is_written_patched_and_read_in_parts() {
    let (_dir, store) = new_store();
    let mut value: Vec<u8> = (0..100 * MIB).map(|n| (n / 1000) as u8).collect();
    let mut txn = Txn::begin(&store, None);
    txn.string_put(b"k", &value, None).unwrap();
    assert!(txn.source.effect_counts().0 < 4000, "most of it is written ahead");
    txn.commit(position(1)).unwrap();
    let mut txn = Txn::begin(&store, None);
    txn.string_write(b"k", 50_000_001, b"patched").unwrap();
    assert_eq!(txn.source.effect_counts(), (2, 0), "a patch touches one chunk, and the record's revision");
    txn.commit(position(2)).unwrap();
    value[50_000_001..50_000_008].copy_from_slice(b"patched");
    let view = View::fixed(&store, 0);
    assert_eq!(view.string_range(b"k", 49_999_990, 100).unwrap(), &value[49_999_990..50_000_090]);
    assert_eq!(view.string(b"k").unwrap().unwrap(), value);
}

#[test]
fn a_byte_far_behind_the_end_costs_one_chunk() {
    let (_dir, store) = new_store();
    let mut txn = Txn::begin(&store, None);
    txn.string_write(b"k", 512 * MIB as u64 - 1, b"x").unwrap();
    assert_eq!(txn.source.effect_counts(), (2, 0));
    txn.commit(position(1)).unwrap();
    let view = View::fixed(&store, 0);
    assert_eq!(view.meta(b"k").unwrap().unwrap().len, 512 * MIB as u64);
    assert_eq!(view.string_range(b"k", 512 * MIB as u64 - 3, 10).unwrap(), &b"\0\0x"[..]);
}

#[test]
fn removing_a_large_collection_is_a_few_effects_whatever_its_size() {
    let (_dir, store) = new_store();
    let mut txn = Txn::begin(&store, None);
    for n in 0..20_000_u32 {
        txn.set_put(b"set", &n.to_be_bytes()).unwrap();
        txn.zset_put(b"zset", &n.to_be_bytes(), f64::from(n)).unwrap();
        txn.list_push(b"list", End::Tail, &n.to_be_bytes()).unwrap();
    }
    txn.commit(position(1)).unwrap();
    let mut txn = Txn::begin(&store, None);
    for key in ["set", "zset", "list"] {
        assert!(txn.remove(key.as_bytes()).unwrap());
    }
    assert_eq!(txn.source.effect_counts(), (3, 4));
    txn.commit(position(2)).unwrap();
    assert_eq!(View::fixed(&store, 0).key_count().unwrap(), 0);
}

#[test]
fn clearing_everything_removes_what_the_same_run_has_written_ahead() {
    let (_dir, store) = new_store();
    let mut txn = Txn::begin(&store, None);
    txn.source.spill_bytes = 1000;
    txn.string_put(b"long", &vec![1; 100_000], None).unwrap();
    txn.clear().unwrap();
    txn.hash_put(b"h", b"f", b"v").unwrap();
    txn.commit(position(1)).unwrap();
    let view = View::fixed(&store, 0);
    assert_eq!(view.key_count().unwrap(), 1);
    assert_eq!(view.meta(b"long").unwrap(), None);
    assert_eq!(view.hash_get(b"h", b"f").unwrap().unwrap(), "v");
}

#[test]
fn what_was_written_ahead_of_a_run_that_never_ended_is_removed_at_the_next_start() {
    let (dir, store) = new_store();
    let mut txn = Txn::begin(&store, None);
    txn.source.spill_bytes = 1000;
    txn.string_put(b"lost", &vec![1; 100_000], None).unwrap();
    drop(txn);
    store.flush().unwrap();
    let copy = copy_of(dir.path());
    let store = Store::open(&copy.path().join("1"), &setup()).unwrap();
    let mut txn = Txn::begin(&store, None);
    // The same version, with a hole where the lost content was.
    txn.string_write(b"k", 50_000, b"x").unwrap();
    txn.commit(position(1)).unwrap();
    let value = View::fixed(&store, 0).string(b"k").unwrap().unwrap();
    assert!(value[..50_000].iter().all(|byte| *byte == 0));
}
