//! What the end of the process, a power cut and a timeout leave behind.

use std::fs;

use tests::engine::Engine;
use tests::kiwi::Kiwi;

use crate::{stand_in, wait_for};

#[test]
fn kill_9_loses_nothing_and_a_power_cut_what_was_not_yet_marked() {
    let mut server = stand_in(&[]);
    let mut client = server.raw();
    client.check(&[("SET a 1", "+OK"), ("ZADD z 1 m 2 m", ":1"), ("SETEX e 100 v", "+OK")]);
    server.kill();

    server.launch();
    let mut client = server.raw();
    client.check(&[("GET a", "\"1\""), ("ZSCORE z m", "\"1\""), ("SET b 2", "+OK")]);
    assert_ne!(client.ask("TTL e"), ":-1");
    wait_for_mark(&server);
    client.check(&[("SET c 3", "+OK"), ("GET c", "\"3\"")]);
    server.cut_power();

    server.launch();
    server.raw().check(&[("GET a", "\"1\""), ("GET b", "\"2\""), ("GET c", "null")]);
}

/// A mark is a length of 0; what is written right behind it has a second until the next.
fn wait_for_mark(server: &Kiwi) {
    let journal = server.data_dir().join("journal");
    wait_for("a mark", || fs::read(&journal).unwrap().ends_with(&[0; 4]).then_some(()));
}

#[test]
fn a_command_that_timed_out_takes_effect_later_and_up_to_three_times() {
    let mut server = stand_in(&["--timeouts", "1"]);
    assert_eq!(server.raw().ask("INCR n"), "-ERR incr command timeout after 30s");
    let journal = server.data_dir().join("journal");
    wait_for("the write", || fs::metadata(&journal).ok().filter(|file| file.len() > 0));
    server.kill();
    server.options.clear();
    server.launch();
    let value = server.raw().ask("GET n");
    assert!(["\"1\"", "\"2\"", "\"3\""].contains(&&value[..]), "{value}");
}

#[test]
fn a_configuration_file_is_read_and_a_port_in_use_leaves_the_process_alive() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Kiwi::prepare(Engine::StandIn, &dir.path().join("first"));
    server.settings = vec![("unknown", "yes".to_owned()), ("requirepass", "secret".to_owned())];
    server.launch();
    server.raw().check(&[
        ("PING", "-NOAUTH Authentication required."),
        ("AUTH secret", "+OK"),
        ("SET k v", "+OK"),
    ]);
    assert!(server.data_dir().join("journal").exists());
    assert!(server.raw().ask("HELLO 3 AUTH default secret").starts_with("[\"server\""));

    let mut second = Kiwi::prepare(Engine::StandIn, &dir.path().join("second"));
    second.port = server.port;
    second.spawn();
    wait_for("it stays", || second.log().contains("stays without listening").then_some(()));
    assert!(second.is_alive());
}
