//! One command as `COMMAND INFO` and `COMMAND DOCS` show it. Everything comes from the table's [`Spec`].

use std::borrow::Cow;

use adapter::Reply;
use adapter::command::spec::{Group, Keys};
use adapter::command::{Flags, Handler, Spec};
use bytes::Bytes;

/// The flags by name, in Redis's order.
const FLAGS: [(Flags, &str); 10] = [
    (Flags::WRITE, "write"),
    (Flags::READONLY, "readonly"),
    (Flags::DENYOOM, "denyoom"),
    (Flags::ADMIN, "admin"),
    (Flags::NOSCRIPT, "noscript"),
    (Flags::LOADING, "loading"),
    (Flags::STALE, "stale"),
    (Flags::FAST, "fast"),
    (Flags::NO_AUTH, "no_auth"),
    (Flags::MOVABLE_KEYS, "movablekeys"),
];

/// The name: `get`, or `client|id` for a subcommand.
pub(super) fn name(spec: &'static Spec, parent: Option<&Spec>) -> Bytes {
    parent.map_or(Bytes::from_static(spec.name.as_bytes()), |parent| spec.full_name(parent).into())
}

/// The ten-element entry of `COMMAND INFO`.
pub(super) fn entry(spec: &'static Spec, parent: Option<&Spec>) -> Reply {
    let (first, last, step) = legacy_keys(spec);
    let movable =
        !spec.flags.has(Flags::MOVABLE_KEYS) && matches!(spec.keys, Keys::Counted { .. } | Keys::Found(_));
    let flags = FLAGS.iter().filter(|(flag, _)| spec.flags.has(*flag)).map(|(_, name)| *name);
    let subs = spec.subcommands.iter().map(|sub| entry(sub, Some(spec)));
    Reply::Array(vec![
        Reply::Bulk(name(spec, parent)),
        Reply::Integer(i64::from(spec.arity)),
        statuses(flags.chain(movable.then_some("movablekeys"))),
        Reply::Integer(first),
        Reply::Integer(last),
        Reply::Integer(step),
        statuses(categories(spec)),
        Reply::Set(Vec::new()),
        Reply::Set(key_specs(spec)),
        Reply::Array(subs.collect()),
    ])
}

/// The map of `COMMAND DOCS`.
pub(super) fn docs(spec: &'static Spec) -> Reply {
    let mut fields = vec![
        (text("summary"), text(spec.summary)),
        (text("since"), text(spec.since)),
        (text("group"), text(spec.group.name())),
        (text("complexity"), text(spec.complexity)),
    ];
    if !spec.subcommands.is_empty() {
        let subs = spec.subcommands.iter().map(|sub| (Reply::Bulk(name(sub, Some(spec))), docs(sub)));
        fields.push((text("subcommands"), Reply::Map(subs.collect())));
    }
    Reply::Map(fields)
}

/// The ACL categories, in Redis's order.
pub(super) fn categories(spec: &Spec) -> Vec<&'static str> {
    let has = |flag| spec.flags.has(flag);
    let group = match spec.group {
        Group::Set => Some("@set"),
        Group::SortedSet => Some("@sortedset"),
        Group::List => Some("@list"),
        Group::Hash => Some("@hash"),
        Group::String => Some("@string"),
        Group::Bitmap => Some("@bitmap"),
        Group::Generic | Group::Connection | Group::Server | Group::Cluster | Group::Transactions => None,
    };
    [
        (spec.group == Group::Generic).then_some("@keyspace"),
        has(Flags::READONLY).then_some("@read"),
        has(Flags::WRITE).then_some("@write"),
        group,
        has(Flags::ADMIN).then_some("@admin"),
        has(Flags::FAST).then_some("@fast"),
        (!has(Flags::FAST)).then_some("@slow"),
        (has(Flags::DANGEROUS) || has(Flags::ADMIN)).then_some("@dangerous"),
        (spec.group == Group::Connection).then_some("@connection"),
        (spec.group == Group::Transactions).then_some("@transaction"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a command does to a key, as far as the table knows. `destination`: it is the key that results go to.
pub(super) fn key_flags(spec: &Spec, destination: bool) -> &'static [&'static str] {
    if destination {
        &["OW", "update"]
    } else if spec.flags.has(Flags::WRITE) && !matches!(spec.keys, Keys::Counted { extra: 1.., .. }) {
        &["RW", "access", "update"]
    } else {
        &["RO", "access"]
    }
}

/// The first key, the last key and the step of older clients; of keys that move, the one that does not.
fn legacy_keys(spec: &Spec) -> (i64, i64, i64) {
    match spec.keys {
        Keys::Range { first, last, step } => (i64::from(first), i64::from(last), i64::from(step)),
        Keys::Counted { extra, .. } if extra > 0 => (i64::from(extra), i64::from(extra), 1),
        // Those of the command that is called in it.
        Keys::Found(_) if matches!(spec.handler, Handler::Front) => (0, 0, 0),
        Keys::Found(_) => (1, 1, 1),
        Keys::None | Keys::Counted { .. } => (0, 0, 0),
    }
}

fn key_specs(spec: &Spec) -> Vec<Reply> {
    match spec.keys {
        Keys::None => Vec::new(),
        Keys::Range { first, last, step } => {
            // Counted from the first key, unless from the end.
            let last = if last < 0 { last } else { last - first };
            vec![key_spec(spec, false, index(first), range(last, step))]
        }
        Keys::Counted { count, extra } => {
            let counted = key_spec(spec, false, index(count), counted());
            if extra == 0 {
                return vec![counted];
            }
            vec![key_spec(spec, true, index(extra), range(0, 1)), counted]
        }
        Keys::Found(_) => vec![key_spec(spec, false, unknown(), unknown())],
    }
}

fn key_spec(spec: &Spec, destination: bool, begin: Reply, find: Reply) -> Reply {
    Reply::Map(vec![
        (text("flags"), statuses(key_flags(spec, destination).iter().copied())),
        (text("begin_search"), begin),
        (text("find_keys"), find),
    ])
}

fn index(index: i16) -> Reply {
    search("index", &[("index", index)])
}

fn range(last: i16, step: i16) -> Reply {
    search("range", &[("lastkey", last), ("keystep", step), ("limit", 0)])
}

fn counted() -> Reply {
    search("keynum", &[("keynumidx", 0), ("firstkey", 1), ("keystep", 1)])
}

fn unknown() -> Reply {
    search("unknown", &[])
}

fn search(kind: &'static str, fields: &[(&'static str, i16)]) -> Reply {
    let fields = fields.iter().map(|(name, value)| (text(name), Reply::Integer(i64::from(*value))));
    Reply::Map(vec![(text("type"), text(kind)), (text("spec"), Reply::Map(fields.collect()))])
}

fn statuses(names: impl IntoIterator<Item = &'static str>) -> Reply {
    Reply::Set(names.into_iter().map(|name| Reply::Status(Cow::Borrowed(name))).collect())
}

fn text(text: &'static str) -> Reply {
    Reply::Bulk(Bytes::from_static(text.as_bytes()))
}
