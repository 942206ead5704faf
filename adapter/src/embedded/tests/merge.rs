//! The overlay's scan, compared with an ordered map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{new_store, position};
use crate::embedded::db::key_range::KeyRange;
use crate::embedded::db::schema::{Family, KeyBuf};
use crate::embedded::keyspace::reader::Reader;
use crate::embedded::keyspace::txn::Txn;
use crate::keyspace::{Direction, Flow};

type Changes = Vec<(u8, Option<u8>)>;

fn changes() -> impl Strategy<Value = Changes> {
    prop::collection::vec((0_u8..40, prop::option::of(any::<u8>())), 0..60)
}

fn key(n: u8) -> KeyBuf {
    // A version that was not just allocated, so that nothing counts as new.
    KeyBuf::from_slice(&[&0_u64.to_be_bytes()[..], &[n]].concat())
}

fn change(txn: &mut Txn<'_>, model: &mut BTreeMap<KeyBuf, Vec<u8>>, changes: &Changes) {
    for (n, value) in changes {
        match value {
            Some(value) => {
                txn.source.put(Family::Fields, key(*n), vec![*value]).unwrap();
                model.insert(key(*n), vec![*value]);
            }
            None => {
                txn.source.delete(Family::Fields, key(*n)).unwrap();
                model.remove(&key(*n));
            }
        }
    }
}

fn scan(txn: &Txn<'_>, range: &KeyRange, direction: Direction, limit: usize) -> Vec<(KeyBuf, Vec<u8>)> {
    let mut seen = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        seen.push((KeyBuf::from_slice(key), value.to_vec()));
        Ok(if seen.len() < limit { Flow::Continue(()) } else { Flow::Break(()) })
    };
    txn.source.scan(Family::Fields, range, direction, &mut visit).unwrap();
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_scan_meets_what_is_stored_as_changed_by_what_is_pending(
        stored in changes(),
        pending in changes(),
        spans in prop::collection::vec((0_u8..41, 0_u8..41, 1_usize..50), 8),
    ) {
        let (_dir, store) = new_store();
        let mut model = BTreeMap::new();
        let mut txn = Txn::begin(&store, None);
        change(&mut txn, &mut model, &stored);
        txn.commit(position(1)).unwrap();
        let mut txn = Txn::begin(&store, None);
        change(&mut txn, &mut model, &pending);
        for (from, to, limit) in spans {
            let range = KeyRange::new(key(from), key(to));
            let inside = model.iter().filter(|(at, _)| (key(from)..key(to)).contains(at));
            let inside: Vec<_> = inside.map(|(key, value)| (key.clone(), value.clone())).collect();
            let forward = scan(&txn, &range, Direction::Forward, limit);
            prop_assert_eq!(&forward[..], &inside[..limit.min(inside.len())]);
            let backward = scan(&txn, &range, Direction::Backward, limit);
            let reversed: Vec<_> = inside.into_iter().rev().take(limit).collect();
            prop_assert_eq!(backward, reversed);
        }
    }
}
