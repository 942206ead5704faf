//! What a test needs of the machine. Where it is missing, the test is not run and says so; in CI it fails.

/// A test is not run, for this reason. With `CI` set that is an error: there, nothing may be missing.
#[allow(clippy::print_stdout, reason = "what was not run is said")]
pub fn not_run(reason: impl std::fmt::Display) {
    assert!(std::env::var_os("CI").is_none(), "in CI every test must run, but {reason}");
    println!("NOT RUN: {reason}");
}
