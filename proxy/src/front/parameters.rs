//! The names that CONFIG knows: the options of `cluster.conf` (`raft.request_timeout`), the parameters of Redis and of
//! RedisRaft that mean one of these options (`maxclients`, `raft.request-timeout`), and those of Redis that clients and
//! tools look at, which have here the value of a Redis that does not use them.

use std::borrow::Cow;

use adapter::command::arg::{self, parse_i64};
use conf::options::{self, ConfigOption, OPTIONS};
use conf::value::write_memory;
use conf::{ClusterConfig, Consistency, Durability, MemoryBound, Routing};

use crate::client_socket::KEEPALIVE;

/// Parameters whose values never change here.
const FIXED: &[(&str, &str)] = &[
    ("activedefrag", "no"),
    ("appendonly", "yes"),
    ("client-output-buffer-limit", "normal 0 0 0 slave 0 0 0 pubsub 0 0 0"),
    ("cluster-enabled", "no"),
    ("databases", "1"),
    ("hash-max-listpack-entries", "128"),
    ("hash-max-listpack-value", "64"),
    ("hash-max-ziplist-entries", "128"),
    ("hash-max-ziplist-value", "64"),
    ("lazyfree-lazy-eviction", "no"),
    ("lazyfree-lazy-expire", "no"),
    ("lazyfree-lazy-server-del", "no"),
    ("lazyfree-lazy-user-del", "no"),
    ("lfu-decay-time", "1"),
    ("lfu-log-factor", "10"),
    ("list-compress-depth", "0"),
    ("list-max-listpack-size", "-2"),
    ("list-max-ziplist-size", "-2"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("maxmemory-samples", "5"),
    ("notify-keyspace-events", ""),
    ("save", ""),
    ("set-max-intset-entries", "512"),
    ("set-max-listpack-entries", "128"),
    ("set-max-listpack-value", "64"),
    ("slowlog-log-slower-than", "-1"),
    ("slowlog-max-len", "0"),
    ("tcp-backlog", "511"),
    ("unixsocket", ""),
    ("zset-max-listpack-entries", "128"),
    ("zset-max-listpack-value", "64"),
    ("zset-max-ziplist-entries", "128"),
    ("zset-max-ziplist-value", "64"),
];

/// Why a value is not one, in Redis's words.
type Reason = Cow<'static, str>;

/// A name that Redis or RedisRaft has for an option.
struct Alias {
    name: &'static str,
    /// The option, as in `raft.request_timeout`.
    option: &'static str,
    /// Its value as Redis writes it.
    get: fn(&ClusterConfig) -> String,
    /// A value as Redis writes it, as the option is written.
    read: fn(&[u8]) -> Result<String, Reason>,
}

const ALIASES: &[Alias] = &[
    Alias {
        name: "appendfsync",
        option: "raft.durability",
        get: |c| fsync(c, "always").to_owned(),
        read: as_it_is,
    },
    Alias { name: "bind", option: "listen.resp", get: |c| c.listen.resp.ip().to_string(), read: as_it_is },
    Alias {
        name: "client-query-buffer-limit",
        option: "limits.query_buffer_bytes",
        get: |c| c.limits.query_buffer_bytes.to_string(),
        read: |given| bytes(given, 64 * KIB, 4 * GIB),
    },
    Alias {
        name: "dir",
        option: "node.data_dir",
        get: |c| c.node.data_dir.display().to_string(),
        read: as_it_is,
    },
    Alias {
        name: "logfile",
        option: "log.file",
        get: |c| c.log.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default(),
        read: as_it_is,
    },
    Alias { name: "loglevel", option: "log.level", get: log_level, read: read_log_level },
    Alias {
        name: "maxclients",
        option: "limits.max_clients",
        get: |c| c.limits.max_clients.to_string(),
        read: |given| number(given, 1, i64::from(u32::MAX)),
    },
    Alias {
        name: "maxmemory-clients",
        option: "limits.max_client_memory",
        get: |c| match c.limits.max_client_memory {
            MemoryBound::Bytes(bytes) => bytes.to_string(),
            other => write_memory(other),
        },
        read: |given| match given {
            [.., b'%'] => as_it_is(given),
            _ => bytes(given, 0, 1024 * GIB).map_err(|_| "argument must be a memory or percent value".into()),
        },
    },
    Alias { name: "port", option: "listen.resp", get: |c| c.listen.resp.port().to_string(), read: as_it_is },
    Alias {
        name: "proto-max-bulk-len",
        option: "limits.max_bulk_bytes",
        get: |c| c.limits.max_bulk_bytes.to_string(),
        read: |given| bytes(given, 1024 * KIB, GIB / 2),
    },
    Alias {
        name: "protected-mode",
        option: "listen.protected_mode",
        get: |c| if c.listen.protected_mode { "yes" } else { "no" }.to_owned(),
        read: |given| yes_or_no(given, "true", "false"),
    },
    Alias {
        name: "requirepass",
        option: "listen.password",
        get: |c| options::by_name("listen.password").map(|option| option.shown(c)).unwrap_or_default(),
        read: as_it_is,
    },
    Alias {
        name: "timeout",
        option: "limits.idle_timeout",
        get: |c| c.limits.idle_timeout.as_secs().to_string(),
        read: |given| number(given, 0, i64::from(i32::MAX)).map(|seconds| seconds + "s"),
    },
    Alias {
        name: "raft.election-timeout",
        option: "raft.election_timeout_min",
        get: |c| c.raft.election_timeout_min.as_millis().to_string(),
        read: as_it_is,
    },
    Alias {
        name: "raft.request-timeout",
        option: "raft.request_timeout",
        get: |c| c.raft.request_timeout.as_millis().to_string(),
        read: |given| number(given, 100, 300_000).map(|ms| ms + "ms"),
    },
    Alias {
        name: "raft.log-fsync",
        option: "raft.durability",
        get: |c| fsync(c, "yes").to_owned(),
        read: as_it_is,
    },
    Alias {
        name: "raft.log-max-cache-size",
        option: "raft.entry_cache_bytes",
        get: |c| c.raft.entry_cache_bytes.to_string(),
        read: as_it_is,
    },
    Alias {
        name: "raft.log-max-file-size",
        option: "raft.snapshot_log_bytes",
        get: |c| c.raft.snapshot_log_bytes.to_string(),
        read: |given| bytes(given, 64 * KIB, 1024 * GIB),
    },
    Alias {
        name: "raft.follower-proxy",
        option: "cluster.routing",
        get: |c| if c.cluster.routing == Routing::Redirect { "no" } else { "yes" }.to_owned(),
        read: |given| yes_or_no(given, "auto", "redirect"),
    },
    Alias {
        name: "raft.quorum-reads",
        option: "raft.consistency",
        get: |c| if c.raft.consistency == Consistency::Linearizable { "yes" } else { "no" }.to_owned(),
        read: |given| yes_or_no(given, "linearizable", "eventual"),
    },
    Alias { name: "raft.loglevel", option: "log.level", get: log_level, read: read_log_level },
];

const KIB: i64 = 1 << 10;
const GIB: i64 = 1 << 30;

/// All names with their values now, in order. Secrets are not shown, not even `requirepass`, which Redis shows.
pub(super) fn all(config: &ClusterConfig) -> Vec<(Cow<'static, str>, String)> {
    let mut all: Vec<(Cow<'static, str>, String)> = FIXED
        .iter()
        .map(|(name, value)| (Cow::Borrowed(*name), (*value).to_owned()))
        .chain([("tcp-keepalive".into(), KEEPALIVE.as_secs().to_string())])
        .chain(ALIASES.iter().map(|alias| (alias.name.into(), (alias.get)(config))))
        .chain(OPTIONS.iter().map(|option| (option.name().into(), option.shown(config))))
        .collect();
    all.sort_unstable();
    all
}

/// What a name and a value mean.
pub(super) enum Meaning {
    /// An option, and the text of its value.
    Option(&'static ConfigOption, String),
    /// It never changes.
    Fixed,
    /// There is no such name.
    Unknown,
}

/// What `CONFIG SET name given` asks for; otherwise Redis's reason why `given` is no value.
pub(super) fn meaning(name: &[u8], given: &[u8]) -> Result<Meaning, Reason> {
    if let Some(alias) = ALIASES.iter().find(|alias| arg::is(name, alias.name)) {
        return match options::by_name(alias.option) {
            Some(option) if option.live => Ok(Meaning::Option(option, (alias.read)(given)?)),
            _ => Ok(Meaning::Fixed),
        };
    }
    if let Some(option) = OPTIONS.iter().find(|option| arg::is(name, &option.name())) {
        return Ok(Meaning::Option(option, as_it_is(given)?));
    }
    let is_fixed = arg::is(name, "tcp-keepalive") || FIXED.iter().any(|(fixed, _)| arg::is(name, fixed));
    Ok(if is_fixed { Meaning::Fixed } else { Meaning::Unknown })
}

fn fsync(config: &ClusterConfig, yes: &'static str) -> &'static str {
    match config.raft.durability {
        Durability::Fsync => yes,
        Durability::OsCache => "no",
    }
}

/// Redis's words for levels.
const LEVELS: &[(&str, &str)] = &[
    ("nothing", "off"),
    ("warning", "error"),
    ("warning", "warn"),
    ("notice", "info"),
    ("verbose", "debug"),
    ("debug", "trace"),
];

/// The level of everything that has none by target.
fn log_level(config: &ClusterConfig) -> String {
    let general = config.log.level.split(',').map(str::trim).rfind(|directive| !directive.contains('='));
    let word = LEVELS.iter().find(|(_, ours)| general.is_some_and(|level| level.eq_ignore_ascii_case(ours)));
    word.map_or("nothing", |(redis, _)| redis).to_owned()
}

/// openraft is as quiet as by default. What is below `notice` does not exist in a release.
fn read_log_level(given: &[u8]) -> Result<String, Reason> {
    let level = match given.to_ascii_lowercase().as_slice() {
        b"debug" | b"verbose" | b"notice" => "info,openraft=warn",
        b"warning" => "warn",
        b"nothing" => "off",
        _ => {
            return Err("argument(s) must be one of the following: debug, verbose, notice, warning".into());
        }
    };
    Ok(level.to_owned())
}

fn yes_or_no(given: &[u8], yes: &str, no: &str) -> Result<String, Reason> {
    match given {
        word if arg::is(word, "yes") => Ok(yes.to_owned()),
        word if arg::is(word, "no") => Ok(no.to_owned()),
        _ => Err("argument must be 'yes' or 'no'".into()),
    }
}

fn as_it_is(given: &[u8]) -> Result<String, Reason> {
    String::from_utf8(given.to_vec()).map_err(|_| "argument must be UTF-8".into())
}

fn bytes(given: &[u8], least: i64, most: i64) -> Result<String, Reason> {
    let bytes = memory(given).ok_or("argument must be a memory value")?;
    between(bytes, least, most)
}

fn number(given: &[u8], least: i64, most: i64) -> Result<String, Reason> {
    between(parse_i64(given).ok_or("argument couldn't be parsed into an integer")?, least, most)
}

fn between(value: i64, least: i64, most: i64) -> Result<String, Reason> {
    if (least..=most).contains(&value) {
        return Ok(value.to_string());
    }
    Err(format!("argument must be between {least} and {most} inclusive").into())
}

/// A number of bytes as Redis writes them: `100`, `2mb`, `1g`.
fn memory(given: &[u8]) -> Option<i64> {
    let digits = given.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = given.split_at(digits);
    let unit = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1024,
        b"m" => 1000 * 1000,
        b"mb" => 1024 * 1024,
        b"g" => 1000 * 1000 * 1000,
        b"gb" => 1024 * 1024 * 1024,
        _ => return None,
    };
    parse_i64(number)?.checked_mul(unit)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn no_name_means_two_things_and_what_is_set_by_an_alias_is_what_the_option_takes() {
        let config = ClusterConfig::default();
        let names = all(&config);
        assert!(names.windows(2).all(|pair| pair[0].0 != pair[1].0), "{names:?}");
        for alias in ALIASES {
            let option = options::by_name(alias.option).unwrap();
            if option.live {
                let mut other = config.clone();
                let text = (alias.read)((alias.get)(&config).as_bytes()).unwrap();
                (option.set)(&mut other, &text).unwrap();
                assert_eq!(other, config, "{}", alias.name);
            }
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut config = ClusterConfig::default();
        config.cluster.secret = "s3cret".to_owned();
        config.listen.password = "hunter2".to_owned();
        config.storage.password = "s3cret".to_owned();
        let shown: Vec<_> = all(&config);
        let with = |text: &str| -> Vec<String> {
            let found = shown.iter().filter(|(_, value)| value.contains(text));
            found.map(|(name, _)| name.to_string()).collect()
        };
        assert!(with("s3cret").is_empty());
        assert!(with("hunter2").is_empty());
        assert_eq!(
            with("(secret)"),
            ["cluster.secret", "listen.password", "requirepass", "storage.password"]
        );
    }

    #[test]
    fn levels_have_redis_words() {
        let mut config = ClusterConfig::default();
        for (level, word) in
            [("info,openraft=warn", "notice"), ("raft=info,warn", "warning"), ("off", "nothing")]
        {
            level.clone_into(&mut config.log.level);
            assert_eq!(log_level(&config), word);
        }
    }
}
