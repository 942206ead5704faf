//! The `raft-proxy` binary: everything it does is in the library's `cli`.

use std::process::ExitCode;

/// Replies, batches and keys are many small allocations of all threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    raft_proxy::cli::main()
}
