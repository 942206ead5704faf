//! The table of the group beside `COMMAND INFO`.

use super::server::Server;
use crate::command::{Flags, Keys, Spec, generic::COMMANDS};

/// What `COMMAND INFO` says first: arity, flags, and the positions of the keys.
fn theirs(server: &mut Server, name: &str) -> (i64, Vec<String>, [i64; 3]) {
    let reply = String::from_utf8(server.call(&[b"COMMAND", b"INFO", name.as_bytes()])).unwrap();
    // The lines: an array of one, an array of ten, the name, the arity, the flags, three positions, …
    let mut lines = reply.lines().skip(4).filter(|line| !line.starts_with('*'));
    let arity = number(lines.next());
    let rest: Vec<_> = lines.collect();
    let flags = rest.iter().map_while(|line| line.strip_prefix('+')).map(str::to_owned).collect::<Vec<_>>();
    let positions = [0, 1, 2].map(|at| number(rest.get(flags.len() + at).copied()));
    let dangerous = reply.contains("+@dangerous").then(|| "@dangerous".to_owned());
    (arity, flags.into_iter().chain(dangerous).collect(), positions)
}

fn number(line: Option<&str>) -> i64 {
    line.and_then(|line| line.strip_prefix(':')).and_then(|number| number.parse().ok()).expect("a number")
}

fn ours(spec: &Spec) -> (i64, Vec<String>, [i64; 3]) {
    let flags = [
        (Flags::WRITE, "write"),
        (Flags::READONLY, "readonly"),
        (Flags::DENYOOM, "denyoom"),
        (Flags::LOADING, "loading"),
        (Flags::STALE, "stale"),
        (Flags::FAST, "fast"),
        (Flags::MOVABLE_KEYS, "movablekeys"),
        (Flags::DANGEROUS, "@dangerous"),
    ];
    let flags = flags.into_iter().filter(|(flag, _)| spec.flags.has(*flag)).map(|(_, name)| name.to_owned());
    let positions = match spec.keys {
        Keys::None => [0, 0, 0],
        Keys::Range { first, last, step } => [first, last, step].map(i64::from),
        // The first key is told by position; the others are movable.
        Keys::Counted { .. } | Keys::Found(_) => [1, 1, 1],
    };
    (i64::from(spec.arity), flags.collect(), positions)
}

#[test]
fn arity_flags_and_key_positions_are_those_of_redis() {
    let mut server = Server::start();
    let mut checked = 0;
    for spec in COMMANDS.iter().filter(|spec| !spec.flags.has(Flags::INTERNAL)) {
        assert_eq!(ours(spec), theirs(&mut server, spec.name), "{}", spec.name);
        for sub in spec.subcommands {
            let name = sub.full_name(spec);
            assert_eq!(ours(sub), theirs(&mut server, &name), "{name}");
            checked += 1;
        }
        checked += 1;
    }
    assert!(checked > 30);
}
