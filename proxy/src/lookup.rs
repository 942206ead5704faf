//! Which command a client calls, as the command table has it.

use adapter::Spec;
use adapter::command::{self, Flags, text};
use adapter::error::Outcome;

/// A command as it was found in the table.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    /// The command, or the subcommand.
    pub(crate) spec: &'static Spec,
    /// The command it is a subcommand of.
    pub(crate) parent: Option<&'static Spec>,
}

/// Finds the command that a client calls, and checks the number of arguments. Internal commands are unknown.
pub(crate) fn find(args: &[&[u8]]) -> Outcome<Found> {
    let Some(found) = named(args) else {
        let spec = args.first().and_then(|name| visible(name)).ok_or_else(|| text::unknown_command(args))?;
        return Err(text::unknown_subcommand(spec.name, args[1]));
    };
    if found.spec.arity_allows(args.len()) {
        return Ok(found);
    }
    let name = || found.spec.name.to_owned();
    Err(text::wrong_arity(&found.parent.map_or_else(name, |parent| found.spec.full_name(parent))))
}

/// The command that a client names, or the subcommand, whatever its arguments.
pub(crate) fn named(args: &[&[u8]]) -> Option<Found> {
    let spec = visible(args.first()?)?;
    match args.get(1) {
        Some(name) if !spec.subcommands.is_empty() => {
            spec.subcommand(name).map(|sub| Found { spec: sub, parent: Some(spec) })
        }
        _ => Some(Found { spec, parent: None }),
    }
}

fn visible(name: &[u8]) -> Option<&'static Spec> {
    command::lookup(name).filter(|spec| !spec.flags.has(Flags::INTERNAL))
}
