//! What a misspelt name may have been meant to be.

/// Says that a name is unknown and which known one it resembles.
pub(crate) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.map(|candidate| (distance(name, candidate), candidate)).min();
    match near {
        Some((edits, candidate)) if edits <= 3 && edits * 2 <= name.len() => {
            format!("unknown {what} {name:?}; did you mean {candidate:?}?")
        }
        _ => format!("unknown {what} {name:?}; `raft-proxy config reference` lists all"),
    }
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
