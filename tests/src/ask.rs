//! Asking a server in one line, as an operator types it, and waiting for what will be so.

use std::thread::sleep;
use std::time::{Duration, Instant};

use redis::{Connection, FromRedisValue, RedisError, RedisResult};

use crate::cluster::PATIENCE;

/// A connection to a port on loopback, tried until it answers.
pub fn connect(port: u16) -> Connection {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client.get_connection() {
            Ok(connection) => return connection,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        sleep(Duration::from_millis(20));
    }
}

/// A command of words.
pub fn words(line: &str) -> redis::Cmd {
    let mut words = line.split(' ');
    let mut command = redis::cmd(words.next().unwrap_or_default());
    for word in words {
        command.arg(word);
    }
    command
}

/// What a command of words answers.
pub fn ask<T: FromRedisValue>(connection: &mut Connection, line: &str) -> RedisResult<T> {
    words(line).query(connection)
}

/// An error as a server has written it, code first.
pub fn text_of(error: &RedisError) -> String {
    let (code, detail) = (error.code().unwrap_or("ERR"), error.detail().unwrap_or_default());
    format!("{code} {detail}").trim_end().to_owned()
}

/// Waits until something is so.
pub fn wait_for(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "in vain waited for: {what}");
        sleep(Duration::from_millis(20));
    }
}
