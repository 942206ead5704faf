//! What the end of the process, a power cut and an error leave behind.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::differential::resp::Frame;
use tests::engine::Engine;
use tests::kiwi::Kiwi;

use crate::{AT_ONCE, on_each_with, stand_in, wait_for};

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
fn a_power_cut_leaves_some_pairs_of_an_hset_and_some_keys_of_an_mset() {
    let mut server = stand_in(&[]);
    let hset: Vec<String> = (0..200).map(|field| format!("field{field}")).collect();
    let mset: Vec<String> = (0..20).map(|key| format!("key{key}")).collect();
    let pairs =
        |names: &[String]| names.iter().flat_map(|name| [name.clone(), "v".to_owned()]).collect::<Vec<_>>();
    for command in
        [[vec!["HSET".to_owned(), "h".to_owned()], pairs(&hset)], [vec!["MSET".to_owned()], pairs(&mset)]]
    {
        let mut client = server.raw();
        client.ask("SET behind this");
        wait_for_mark(&server);
        let args: Vec<&[u8]> = command.iter().flatten().map(String::as_bytes).collect();
        assert!(!matches!(client.call(&args), Frame::Error(_)));
        server.cut_power();
        server.launch();
    }
    let mut client = server.raw();
    let left = client.call(&[b"HLEN", b"h"]).integer().unwrap();
    assert!((1..200).contains(&left), "{left} of 200 pairs");
    let exists: Vec<&[u8]> = [&b"EXISTS"[..]].into_iter().chain(mset.iter().map(String::as_bytes)).collect();
    let left = client.call(&exists).integer().unwrap();
    assert!((1..20).contains(&left), "{left} of 20 keys");
}

#[test]
fn kill_9_can_tear_an_hset_that_was_not_answered() {
    on_each_with(&[], &[], |mut server| {
        let pairs: Vec<String> = (0..2000).map(|field| format!("field{field}")).collect();
        let mut attempt = 0;
        wait_for("some pairs of many", || {
            attempt += 1;
            let key = format!("h{attempt}");
            let mut args = vec![&b"HSET"[..], key.as_bytes()];
            pairs.iter().for_each(|field| args.extend([field.as_bytes(), b"v"]));
            server.raw().send(&args);
            std::thread::sleep(Duration::from_millis(10 + attempt % 25));
            server.kill();
            server.launch();
            let left = server.raw().call(&[b"HLEN", key.as_bytes()]).integer().unwrap();
            (1..2000).contains(&left).then_some(())
        });
    });
}

#[test]
fn a_command_that_timed_out_takes_effect_later_and_up_to_three_times() {
    let mut server = stand_in(&["--timeouts", "1"]);
    let refused = server.raw().ask("Incr n");
    assert!(refused.starts_with("-ERR Incr command timeout after 29.9999"), "{refused}");
    let journal = server.data_dir().join("journal");
    wait_for("the write", || fs::metadata(&journal).ok().filter(|file| file.len() > 0));
    server.kill();
    server.options.clear();
    server.launch();
    let value = server.raw().ask("GET n");
    assert!(["\"1\"", "\"2\"", "\"3\""].contains(&&value[..]), "{value}");
}

#[test]
fn a_refused_write_lands_on_top_of_a_later_one_that_was_acknowledged_or_is_given_up() {
    for (queued_for, lands) in [("29.9", true), ("0.1", false)] {
        let options = ["--unavailable-for", "0.5", "--queued-for", queued_for];
        let server = stand_in(&[&AT_ONCE[..], &options].concat());
        let mut client = server.raw();
        assert_eq!(client.ask("SET k before"), "+OK");
        server.signal(Signal::SIGUSR2);
        let text = "-ERR communication error in SET: Storage unavailable and no fallback available";
        wait_for("a refusal", || (client.ask("SET k refused") == text).then_some(()));
        assert_eq!(client.ask("PING"), "+PONG");
        wait_for("an end of it", || client.ask("GET k").starts_with('"').then_some(()));
        client.check(&[("SET k final", "+OK"), ("GET k", "\"final\"")]);
        if lands {
            wait_for("the refused write", || (client.ask("GET k") == "\"refused\"").then_some(()));
        } else {
            std::thread::sleep(Duration::from_secs(1));
            assert_eq!(client.ask("GET k"), "\"final\"");
        }
    }
}

#[test]
fn a_configuration_file_is_read_and_a_port_in_use_leaves_the_process_alive() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Kiwi::prepare(Engine::StandIn, &dir.path().join("first"));
    server.settings = vec![("unknown", "yes".to_owned()), ("requirepass", "secret".to_owned())];
    server.launch();
    server.raw().check(&[
        ("GET k", "-NOAUTH Authentication required."),
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
