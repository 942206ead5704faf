//! Chance that is the same on every replica and every storage.
//!
//! A batch carries a seed; each call gets its own from it. Random members are picked by *points* in hash order
//! and not by rank, so that a pick costs a seek and not a walk over the collection.

use std::collections::HashSet;

use bytes::Bytes;

use crate::error::{Outcome, Stop};
use crate::keyspace::{Flow, Point, gather};

/// The generator of one call. Its sequence for a seed is part of the log's meaning: changing the generator
/// changes what old logs mean.
#[derive(Debug)]
pub struct Chance(SplitMix);

#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    /// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Chance {
    /// The generator for a seed.
    pub fn new(seed: u64) -> Self {
        Self(SplitMix(seed))
    }

    /// The seed of the call at `index` in a batch with this seed.
    pub fn call_seed(batch_seed: u64, index: u32) -> u64 {
        SplitMix(batch_seed ^ (u64::from(index) << 32 | u64::from(index))).next()
    }

    /// A number below `bound`, which is not 0 (Lemire's multiplication; its bias is below 2^-32 for any
    /// collection that fits a disk).
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.0.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A generator of its own for one part of the call, so that what one part draws does not depend on how much
    /// another has drawn: a part whose data a remote storage has yet to fetch has drawn less.
    pub fn fork(&mut self) -> Self {
        Self::new(self.0.next())
    }

    /// A point in hash order.
    pub fn point(&mut self) -> Point {
        Point(self.0.next() >> (64 - Point::BITS))
    }
}

/// A seed that nobody can foretell, for a new batch or a read.
pub fn fresh_seed() -> u64 {
    rand::random()
}

/// How many elements in hash order a single pick looks at: a choice among them evens out the gaps between
/// points, which alone would favour elements behind wide gaps.
pub const WINDOW: u64 = 32;

/// The most elements, repeats included, that one call picks: it bounds the reply, which no collection's size
/// does when elements may repeat.
pub const MAX_PICKS: u64 = 1 << 20;

/// A pick of a part of the collection reads all of it if it wants at least one in so many: a walk costs less
/// than that many seeks with windows.
const WALK_RATIO: u64 = 3;

/// How often a pick of distinct elements seeks, on average per element, before it walks.
const PATIENCE: u64 = 4;

/// What a visit of names (keys, fields, members) in hash order is given.
pub type NameVisitor<'v> = dyn FnMut(Point, &[u8]) -> Flow + 'v;

/// Visits the names of a collection from a point on in hash order:
/// `&mut |from, each| keyspace.hash_visit(key, from, &mut |point, field, _| each(point, field))`.
pub type Visit<'v> = dyn FnMut(Point, &mut NameVisitor<'_>) -> Outcome<()> + 'v;

/// Picks one element; none of an empty collection. Exactly even up to [`WINDOW`] elements, and nearly beyond.
pub fn pick_one(chance: &mut Chance, visit: &mut Visit<'_>) -> Outcome<Option<Bytes>> {
    let mut chance = chance.fork();
    let start = chance.point();
    let mut window = Window { chance, seen: 0, chosen: None };
    visit(start, &mut |_, name| window.offer(name))?;
    if window.seen < WINDOW {
        visit(Point(0), &mut |point, name| if point < start { window.offer(name) } else { Flow::Break(()) })?;
    }
    Ok(window.chosen)
}

/// A choice of one among up to [`WINDOW`] elements without keeping the others (Vitter's reservoir, of size 1).
struct Window {
    chance: Chance,
    seen: u64,
    chosen: Option<Bytes>,
}

impl Window {
    fn offer(&mut self, name: &[u8]) -> Flow {
        self.seen += 1;
        if self.chance.below(self.seen) == 0 {
            self.chosen = Some(Bytes::copy_from_slice(name));
        }
        if self.seen < WINDOW { Flow::Continue(()) } else { Flow::Break(()) }
    }
}

/// Picks `count` different elements of a collection of `len`, in random order; all of them if it has fewer.
pub fn pick_distinct(
    chance: &mut Chance,
    len: u64,
    count: u64,
    visit: &mut Visit<'_>,
) -> Outcome<Vec<Bytes>> {
    if count.saturating_mul(WALK_RATIO) >= len {
        return pick_by_walk(chance, count, visit);
    }
    let (mut seen, mut picked) = (HashSet::new(), Vec::new());
    let mut patience = count.saturating_mul(PATIENCE);
    while (picked.len() as u64) < count {
        let missing = count - picked.len() as u64;
        let Some(left) = patience.checked_sub(missing) else { return pick_by_walk(chance, count, visit) };
        patience = left;
        for name in gather((0..missing).map(|_| pick_one(chance, visit)))?.into_iter().flatten() {
            if seen.insert(name.clone()) {
                picked.push(name);
            }
        }
    }
    Ok(picked)
}

/// Picks `count` elements of a collection of `len`, each from all of them, so that some may repeat.
pub fn pick_with_repeats(
    chance: &mut Chance,
    len: u64,
    count: u64,
    visit: &mut Visit<'_>,
) -> Outcome<Vec<Bytes>> {
    if count > MAX_PICKS {
        return Err(Stop::text("ERR value is out of range"));
    }
    if count.saturating_mul(WALK_RATIO) < len {
        let picks = gather((0..count).map(|_| pick_one(chance, visit)))?;
        return Ok(picks.into_iter().flatten().collect());
    }
    let names = collect(visit)?;
    if names.is_empty() {
        return Ok(names);
    }
    Ok((0..count).map(|_| names[chance.below(names.len() as u64) as usize].clone()).collect())
}

/// Reads the whole collection and shuffles as much of it as is wanted (Fisher and Yates).
fn pick_by_walk(chance: &mut Chance, count: u64, visit: &mut Visit<'_>) -> Outcome<Vec<Bytes>> {
    let mut names = collect(visit)?;
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(names.len());
    for index in 0..count {
        let other = index + chance.below((names.len() - index) as u64) as usize;
        names.swap(index, other);
    }
    names.truncate(count);
    Ok(names)
}

fn collect(visit: &mut Visit<'_>) -> Outcome<Vec<Bytes>> {
    let mut names = Vec::new();
    visit(Point(0), &mut |_, name| {
        names.push(Bytes::copy_from_slice(name));
        Flow::Continue(())
    })?;
    Ok(names)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its failure")]
mod tests {
    use super::*;

    /// A collection in hash order, as every storage keeps it.
    fn collection(len: u32) -> Vec<(Point, Bytes)> {
        let mut names: Vec<_> = (0..len)
            .map(|number| Bytes::from(format!("member:{number}")))
            .map(|name| (Point::of(&name), name))
            .collect();
        names.sort();
        names
    }

    fn visiting(names: &[(Point, Bytes)]) -> impl FnMut(Point, &mut NameVisitor<'_>) -> Outcome<()> {
        move |from, each| {
            let start = names.partition_point(|(point, _)| *point < from);
            let _ = names[start..].iter().try_for_each(|(point, name)| each(*point, name));
            Ok(())
        }
    }

    #[test]
    fn nothing_is_picked_from_nothing() {
        let (mut chance, mut visit) = (Chance::new(1), visiting(&[]));
        assert_eq!(pick_one(&mut chance, &mut visit).unwrap(), None);
        assert!(pick_distinct(&mut chance, 0, 3, &mut visit).unwrap().is_empty());
        assert!(pick_with_repeats(&mut chance, 0, 3, &mut visit).unwrap().is_empty());
    }

    #[test]
    fn distinct_picks_are_different_and_as_many_as_asked_for_or_as_there_are() {
        for len in [1, 2, 31, 32, 33, 1000] {
            let names = collection(len);
            for count in [1, 2, 10, 300, 999, 1000, 5000] {
                let mut chance = Chance::new(u64::from(len) * count);
                let picked = pick_distinct(&mut chance, len.into(), count, &mut visiting(&names)).unwrap();
                assert_eq!(picked.len() as u64, count.min(len.into()), "{count} of {len}");
                assert_eq!(picked.iter().collect::<HashSet<_>>().len(), picked.len());
            }
        }
    }

    #[test]
    fn repeated_picks_are_as_many_as_asked_for_and_bounded() {
        let names = collection(100);
        for count in [1, 20, 500] {
            let picked = pick_with_repeats(&mut Chance::new(7), 100, count, &mut visiting(&names)).unwrap();
            assert_eq!(picked.len() as u64, count);
        }
        let too_many = pick_with_repeats(&mut Chance::new(7), 100, MAX_PICKS + 1, &mut visiting(&names));
        assert!(matches!(too_many, Err(Stop::Error(_))));
    }

    #[test]
    fn every_element_is_picked_and_none_far_too_often() {
        for len in [3, 32, 200] {
            let names = collection(len);
            let mut chance = Chance::new(42);
            let mut times = std::collections::HashMap::new();
            for _ in 0..len * 400 {
                let name = pick_one(&mut chance, &mut visiting(&names)).unwrap().unwrap();
                *times.entry(name).or_insert(0) += 1;
            }
            assert_eq!(times.len() as u32, len);
            assert!(times.values().all(|times| (100..1000).contains(times)), "{len}: {times:?}");
        }
    }

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let names = collection(100);
        let picked = pick_distinct(&mut Chance::new(1), 100, 4, &mut visiting(&names)).unwrap();
        assert_eq!(picked, ["member:74", "member:64", "member:14", "member:35"].map(Bytes::from));
    }

    #[test]
    fn picks_whose_data_is_not_there_yet_do_not_change_the_others() {
        let names = collection(1000);
        let mut starts = Vec::new();
        let mut visit = visiting(&names);
        pick_distinct(&mut Chance::new(5), 1000, 3, &mut |from, each| {
            starts.push(from);
            visit(from, each)
        })
        .unwrap();
        starts.retain(|from| *from != Point(0));
        let mut needs = Vec::new();
        let stopped = pick_distinct(&mut Chance::new(5), 1000, 3, &mut |from, _| {
            needs.push(from);
            Err(Stop::Pending)
        });
        assert!(matches!(stopped, Err(Stop::Pending)));
        assert_eq!(needs, starts[..3]);
    }
}
