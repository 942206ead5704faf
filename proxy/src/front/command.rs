//! COMMAND: the command table as clients can ask for it.

use std::borrow::Cow;

use adapter::command::spec::Keys;
use adapter::command::{self, Flags, Spec, arg, glob, text};
use adapter::error::Outcome;
use adapter::{Reply, Stop};
use bytes::Bytes;

use super::{command_entry, help};

/// Runs a subcommand.
pub(super) fn run(name: &str, args: &[&[u8]]) -> Outcome<Reply> {
    match name {
        "count" => Ok(Reply::count(public().count() as u64)),
        "docs" => Ok(docs(&args[2..])),
        "getkeys" => keys(&args[2..]).map(|(_, keys)| {
            Reply::Array(keys.into_iter().map(|index| Reply::bulk(args[2 + index])).collect())
        }),
        "getkeysandflags" => keys(&args[2..]).map(|(spec, keys)| keys_and_flags(spec, &keys, &args[2..])),
        "help" => Ok(help::reply(help::COMMAND)),
        "info" if args.len() == 2 => Ok(all()),
        "info" => Ok(Reply::Array(args[2..].iter().map(|name| info(name)).collect())),
        "list" => list(&args[2..]),
        _ => Err(text::unknown_subcommand("command", args[1])),
    }
}

/// `COMMAND`: the entries of all commands.
pub(super) fn all() -> Reply {
    Reply::Array(public().map(|spec| command_entry::entry(spec, None)).collect())
}

/// The commands that clients may know of.
fn public() -> impl Iterator<Item = &'static Spec> {
    command::all().filter(|spec| !spec.flags.has(Flags::INTERNAL))
}

/// Finds `get` or `client|id`; the second of the answer is what it is a subcommand of.
fn by_name(name: &[u8]) -> Option<(&'static Spec, Option<&'static Spec>)> {
    let mut parts = name.splitn(2, |byte| *byte == b'|');
    let spec = command::lookup(parts.next()?).filter(|spec| !spec.flags.has(Flags::INTERNAL))?;
    match parts.next() {
        None => Some((spec, None)),
        Some(sub) => spec.subcommand(sub).map(|sub| (sub, Some(spec))),
    }
}

fn info(name: &[u8]) -> Reply {
    by_name(name).map_or(Reply::Null, |(spec, parent)| command_entry::entry(spec, parent))
}

fn docs(names: &[&[u8]]) -> Reply {
    let named = |spec: &'static Spec, parent: Option<&'static Spec>| {
        (Reply::Bulk(command_entry::name(spec, parent)), command_entry::docs(spec))
    };
    if names.is_empty() {
        return Reply::Map(public().map(|spec| named(spec, None)).collect());
    }
    Reply::Map(
        names.iter().filter_map(|name| by_name(name)).map(|(spec, parent)| named(spec, parent)).collect(),
    )
}

/// The command that `args` calls, and the indices of its keys.
fn keys(args: &[&[u8]]) -> Outcome<(&'static Spec, Vec<usize>)> {
    let spec = command::lookup(args[0])
        .filter(|spec| !spec.flags.has(Flags::INTERNAL))
        .ok_or(Stop::text("ERR Invalid command specified"))?;
    let spec = match args.get(1) {
        Some(name) if !spec.subcommands.is_empty() => {
            spec.subcommand(name).ok_or(Stop::text("ERR Invalid command specified"))?
        }
        _ => spec,
    };
    if matches!(spec.keys, Keys::None) {
        return Err(Stop::text("ERR The command has no key arguments"));
    }
    if !spec.arity_allows(args.len()) {
        return Err(Stop::text("ERR Invalid number of arguments specified for command"));
    }
    let keys = spec.key_indices(args);
    if keys.is_empty() {
        return Err(Stop::text("ERR Invalid arguments specified for command"));
    }
    Ok((spec, keys))
}

fn keys_and_flags(spec: &'static Spec, keys: &[usize], args: &[&[u8]]) -> Reply {
    let flags = |index: usize| {
        let flags = command_entry::key_flags(
            spec,
            matches!(spec.keys, Keys::Counted { extra, .. } if extra as usize == index),
        );
        Reply::Set(flags.iter().map(|flag| Reply::Status(Cow::Borrowed(flag))).collect())
    };
    Reply::Array(
        keys.iter().map(|index| Reply::Array(vec![Reply::bulk(args[*index]), flags(*index)])).collect(),
    )
}

/// What `COMMAND LIST` lists.
enum Filter {
    All,
    /// There are no modules.
    None,
    Category(Vec<u8>),
    Pattern(Vec<u8>),
}

impl Filter {
    fn parse(args: &[&[u8]]) -> Outcome<Self> {
        match *args {
            [] => Ok(Self::All),
            [by, kind, _] if arg::is(by, "filterby") && arg::is(kind, "module") => Ok(Self::None),
            [by, kind, name] if arg::is(by, "filterby") && arg::is(kind, "aclcat") => {
                Ok(Self::Category(name.to_ascii_lowercase()))
            }
            [by, kind, pattern] if arg::is(by, "filterby") && arg::is(kind, "pattern") => {
                Ok(Self::Pattern(pattern.to_ascii_lowercase()))
            }
            _ => Err(text::SYNTAX),
        }
    }

    fn takes(&self, spec: &Spec, name: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            // The names in the table begin with an @, those in the filter do not.
            Self::Category(category) => {
                command_entry::categories(spec).iter().any(|name| name.as_bytes()[1..] == **category)
            }
            Self::Pattern(pattern) => glob::matches(pattern, name),
        }
    }
}

/// `COMMAND LIST [FILTERBY MODULE name|ACLCAT category|PATTERN pattern]`
fn list(args: &[&[u8]]) -> Outcome<Reply> {
    let filter = Filter::parse(args)?;
    let mut names = Vec::new();
    for spec in public() {
        if filter.takes(spec, spec.name.as_bytes()) {
            names.push(Bytes::from_static(spec.name.as_bytes()));
        }
        // Without a filter Redis lists commands only; with one, subcommands too.
        if !args.is_empty() {
            let subs = spec.subcommands.iter().map(|sub| (sub, command_entry::name(sub, Some(spec))));
            names.extend(subs.filter(|(sub, name)| filter.takes(sub, name)).map(|(_, name)| name));
        }
    }
    Ok(Reply::bulks(names))
}
