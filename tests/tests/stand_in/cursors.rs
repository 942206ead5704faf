//! SCAN and its like.

use crate::on_each;

#[test]
fn cursors_of_scan_are_numbers_that_are_remembered() {
    on_each(|server| {
        let mut client = server.raw();
        (0..30).for_each(|key| drop(client.ask(&format!("SET key{key} v"))));
        assert_eq!(client.ask("SCAN 7"), "-ERR invalid cursor");
        assert!(client.ask("SCAN 0 COUNT 10").starts_with("[\"1\", "));
        assert!(client.ask("SCAN 1 COUNT 10").starts_with("[\"2\", "));
        assert_eq!(client.ask("SCAN 0 COUNT 0"), "-ERR syntax error");
    });
}

#[test]
fn a_cursor_of_hscan_is_how_much_was_looked_at_and_an_unknown_one_begins_anew() {
    on_each(|server| {
        server.raw().check(&[
            ("HSET h d 4 b 2 c 3 a 1", ":4"),
            ("HSCAN h 0 COUNT 2", "[\"2\", [\"a\", \"1\", \"b\", \"2\"]]"),
            ("HSCAN h 2 COUNT 2", "[\"0\", [\"c\", \"3\", \"d\", \"4\"]]"),
            ("HSCAN h 7 COUNT 2", "[\"9\", [\"a\", \"1\", \"b\", \"2\"]]"),
            ("HSCAN h 0 MATCH b* COUNT 1", "[\"0\", [\"b\", \"2\"]]"),
            ("HSCAN h 0 MATCH *b COUNT 2", "[\"2\", [\"b\", \"2\"]]"),
            ("HSCAN h 0 COUNT 3", "[\"3\", [\"a\", \"1\", \"b\", \"2\", \"c\", \"3\"]]"),
            ("HSCAN h 3", "[\"0\", [\"d\", \"4\"]]"),
            ("HSCAN h x", "-ERR invalid cursor"),
            ("HSCAN h 0 COUNT 0", "-ERR value is not an integer or out of range"),
            ("HSCAN missing 5", "[\"0\", []]"),
        ]);
    });
}

#[test]
fn two_scans_of_one_hash_share_their_cursors() {
    on_each(|server| {
        server.raw().check(&[
            ("HSET h a 1 b 2 c 3 d 4 e 5", ":5"),
            ("HSCAN h 0 COUNT 2", "[\"2\", [\"a\", \"1\", \"b\", \"2\"]]"),
            ("HDEL h a", ":1"),
            // The other scan's page ends behind c, and with it the first's.
            ("HSCAN h 0 COUNT 2", "[\"2\", [\"b\", \"2\", \"c\", \"3\"]]"),
            ("HSCAN h 2 COUNT 2", "[\"0\", [\"d\", \"4\", \"e\", \"5\"]]"),
        ]);
    });
}

#[test]
fn a_cursor_of_sscan_is_an_index() {
    on_each(|server| {
        server.raw().check(&[
            ("SADD s c a b d", ":4"),
            ("SSCAN s 0 COUNT 2", "[\"2\", [\"a\", \"b\"]]"),
            ("SREM s a", ":1"),
            ("SREM s b", ":1"),
            ("SSCAN s 2 COUNT 2", "[\"0\", []]"),
            ("SSCAN s 1", "[\"0\", [\"d\"]]"),
            ("SSCAN s 0 MATCH d COUNT 1", "[\"1\", []]"),
            ("SSCAN s x", "-ERR invalid cursor"),
            ("SSCAN s 0 COUNT 0", "-ERR value is not an integer or out of range"),
        ]);
    });
}
