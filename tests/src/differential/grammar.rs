//! How the calls of every command look, and random calls made from it.
//!
//! A rule is a command's name and its arguments: `$x` is a word of a kind of [`words`](super::words), `[ a ]` may be
//! there, `( a | b )` is one of several, `{ a }` is there once to three times, and everything else stands for itself.
//! One call in eight is then made wrong: an argument goes, comes twice, or is replaced.

use rand::Rng;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::Call;
use super::words::word;

/// A rule for every command that reads or writes data. A command with several has several sorts of calls.
pub const RULES: &[&str] = &[
    // Strings.
    "append $s $v",
    "decr $s",
    "decrby $s $n",
    "get $s",
    "getdel $s",
    "getex $s [ ( ex $sec | px $ms | exat $unix | pxat $unixms | persist ) ]",
    "getrange $s $i $i",
    "getset $s $v",
    "incr $s",
    "incrby $s $n",
    "incrbyfloat $s $d",
    "lcs $s $s [ ( len | idx [ minmatchlen $c ] [ withmatchlen ] ) ]",
    "mget { $k }",
    "mset { $s $v }",
    "msetnx { $s $v }",
    "psetex $s $ms $v",
    "set $s $v [ ( nx | xx ) ] [ get ] [ ( ex $sec | px $ms | exat $unix | pxat $unixms | keepttl ) ]",
    "set $s $v",
    "setex $s $sec $v",
    "setnx $s $v",
    "setrange $s $off $v",
    "strlen $s",
    "substr $s $i $i",
    // Bitmaps.
    "bitcount $s [ $i $i [ ( byte | bit | x ) ] ]",
    "bitfield $s { ( get $type $at | set $type $at $n | incrby $type $at $n | overflow ( wrap | sat | fail | x ) ) }",
    "bitfield_ro $s { get $type $at } [ set u8 0 1 ]",
    "bitop ( and | or | xor | not | x ) $s { $s }",
    "bitop not $s $s",
    "bitpos $s ( 0 | 1 | 2 ) [ $i [ $i [ ( byte | bit ) ] ] ]",
    "getbit $s $bit",
    "setbit $s $bit ( 0 | 1 | 2 | x )",
    // Keys.
    "dbsize",
    "copy $k $k [ replace ] [ db ( 0 | 0 | 5 | x ) ]",
    "del { $k }",
    "dump $k",
    "exists { $k }",
    "expire $k $sec [ ( nx | xx | gt | lt ) ] [ ( nx | gt ) ]",
    "expireat $k $unix [ ( nx | xx | gt | lt ) ]",
    "expiretime $k",
    "flushall [ ( async | sync | x ) ]",
    "flushdb [ ( async | sync | x ) ]",
    "keys $p",
    "move $k ( 0 | 1 | abc )",
    "object ( encoding | freq | idletime | refcount ) $k",
    "object ( help | nonsense )",
    "persist $k",
    "pexpire $k $ms [ ( nx | xx | gt | lt ) ]",
    "pexpireat $k $unixms [ ( nx | xx | gt | lt ) ]",
    "pexpiretime $k",
    "pttl $k",
    "randomkey",
    "rename $k $k",
    "renamenx $k $k",
    "restore $k ( 0 | $ms ) $payload [ replace ] [ idletime $c ] [ freq $c ]",
    "restore $k $unixms $payload absttl [ replace ]",
    "restore $k 0 ( $v | $payload ) replace",
    "scan $cursor count 1000 [ match $p ] [ type ( string | list | set | zset | hash | x ) ]",
    "sort ( $l | $t | $z | $k ) [ limit $i $i ] [ get # ] [ ( asc | desc ) ] [ alpha ] [ store $l ]",
    "sort ( $l | $t ) alpha [ limit $i $i ] [ { get ( # | s* | h1->* | nothing_* ) } ] [ desc ] [ store $l ]",
    "sort ( $l | $t | $z ) by ( s* | h*->a | h1->* ) [ limit $i $i ] [ get # ] [ desc ]",
    "sort ( $l | $z ) by nosort [ limit $i $i ] [ get # get s* ] [ desc ] [ store $l ]",
    "sort_ro ( $l | $t | $k ) [ limit $i $i ] [ get # ] [ ( asc | desc ) ] [ alpha ] [ store $l ]",
    "touch { $k }",
    "ttl $k",
    "type $k",
    "unlink { $k }",
    // Hashes.
    "hdel $h { $f }",
    "hexists $h $f",
    "hget $h $f",
    "hgetall $h",
    "hincrby $h $f $n",
    "hincrbyfloat $h $f $d",
    "hkeys $h",
    "hlen $h",
    "hmget $h { $f }",
    "hmset $h { $f $v }",
    "hrandfield $h [ $c [ withvalues ] ]",
    "hscan $h $cursor count 1000 [ match $p ]",
    "hset $h { $f $v }",
    "hsetnx $h $f $v",
    "hstrlen $h $f",
    "hvals $h",
    // Lists.
    "lindex $l $i",
    "linsert $l ( before | after | x ) $f $v",
    "llen $l",
    "lmove $l $l ( left | right | x ) ( left | right )",
    "lmpop ( 1 $l | 2 $l $l | 3 $l $l | $c $l ) ( left | right ) [ count $c ]",
    "lpop $l [ $c ]",
    "lpos $l $f [ rank $i ] [ count $c ] [ maxlen $c ]",
    "lpush $l { $f }",
    "lpushx $l { $f }",
    "lrange $l $i $i",
    "lrem $l $i $f",
    "lset $l $i $v",
    "ltrim $l $i $i",
    "rpop $l [ $c ]",
    "rpoplpush $l $l",
    "rpush $l { $f }",
    "rpush $l { ( 1 | 2 | 3.5 | -7 | 10 ) }",
    "rpushx $l { $f }",
    // Sets.
    "sadd $t { $f }",
    "sadd $t { ( 1 | 2 | 3 | -7 | 10 ) }",
    "scard $t",
    "sdiff { $t }",
    "sdiffstore $t { $t }",
    "sinter { $t }",
    "sintercard ( 1 $t | 2 $t $t | 3 $t $t | $c $t ) [ limit $c ]",
    "sinterstore $t { $t }",
    "sismember $t $f",
    "smembers $t",
    "smismember $t { $f }",
    "smove $t $t $f",
    "spop $t [ $c ]",
    "srandmember $t [ $c ]",
    "srem $t { $f }",
    "sscan $t $cursor count 1000 [ match $p ]",
    "sunion { $t }",
    "sunionstore $t { $t }",
    // Sorted sets.
    "zadd $z [ ( nx | xx ) ] [ ( gt | lt ) ] [ ch ] [ incr ] { $d $f }",
    "zadd $z { $d $f }",
    "zadd $y { 0 $f }",
    "zcard $z",
    "zcount $z $b $b",
    "zdiff ( 1 $z | 2 $z $z | 2 $z $t | 3 $z $z | $c $z ) [ withscores ]",
    "zdiffstore $z ( 1 $z | 2 $z $z | 2 $z $t | 3 $z $z | $c $z )",
    "zincrby $z $d $f",
    "zinter ( 1 $z | 2 $z $z | 2 $z $t | $c $z ) [ weights $d $d ] [ aggregate ( sum | min | max | x ) ] [ withscores ]",
    "zintercard ( 1 $z | 2 $z $z | 2 $z $t | $c $z ) [ limit $c ]",
    "zinterstore $z ( 1 $z | 2 $z $z | 2 $z $t | $c $z ) [ weights $d $d ] [ aggregate ( sum | min | max ) ]",
    "zlexcount ( $y | $y | $s ) $x $x",
    "zmpop ( 1 $z | 2 $z $z | 3 $z $z | $c $z ) ( min | max | x ) [ count $c ]",
    "zmscore $z { $f }",
    "zpopmax $z [ $c ]",
    "zpopmin $z [ $c ]",
    "zrandmember $z [ $c [ withscores ] ]",
    "zrange $z ( $i $i | $b $b byscore ) [ rev ] [ limit $i $i ] [ withscores ]",
    "zrange ( $y | $s ) $x $x bylex [ rev ] [ limit $i $i ] [ withscores ]",
    "zrangebylex ( $y | $y | $s ) $x $x [ limit $i $i ]",
    "zrangebyscore $z $b $b [ withscores ] [ limit $i $i ]",
    "zrangestore $z $z ( $i $i | $b $b byscore ) [ rev ] [ limit $i $i ]",
    "zrangestore $z ( $y | $s ) $x $x bylex [ rev ] [ limit $i $i ]",
    "zrank $z $f",
    "zrem $z { $f }",
    "zremrangebylex ( $y | $y | $s ) $x $x",
    "zremrangebyrank $z $i $i",
    "zremrangebyscore $z $b $b",
    "zrevrange $z $i $i [ withscores ]",
    "zrevrangebylex ( $y | $y | $s ) $x $x [ limit $i $i ]",
    "zrevrangebyscore $z $b $b [ withscores ] [ limit $i $i ]",
    "zrevrank $z $f",
    "zscan $z $cursor count 1000 [ match $p ]",
    "zscore $z $f",
    "zunion ( 1 $z | 2 $z $z | 2 $z $t | $c $z ) [ weights $d $d ] [ aggregate ( sum | min | max ) ] [ withscores ]",
    "zunionstore $z ( 1 $z | 2 $z $z | 2 $z $t | $c $z ) [ weights $d $d ] [ aggregate ( sum | min | max | x ) ]",
];

/// One call in this many is made wrong.
const WRONG: u32 = 8;

/// The name of a rule's command.
pub fn name(rule: &str) -> &str {
    rule.split(' ').next().unwrap_or_default()
}

/// A random call by a rule: the same for the same seed. `payloads` are what `$payload` stands for.
pub fn generate(rule: &str, seed: u64, payloads: &[Vec<u8>]) -> Call {
    let mut maker = Maker { rng: SmallRng::seed_from_u64(seed), payloads, call: Vec::new() };
    let tokens: Vec<&str> = rule.split_ascii_whitespace().collect();
    maker.sequence(&tokens);
    // A wrong score would make the lexicographic order of these sets unspecified.
    if !rule.contains("$y") && maker.rng.random_ratio(1, WRONG) {
        maker.spoil();
    }
    maker.call
}

struct Maker<'a> {
    rng: SmallRng,
    payloads: &'a [Vec<u8>],
    call: Call,
}

impl Maker<'_> {
    fn sequence(&mut self, mut tokens: &[&str]) {
        while let Some((first, rest)) = tokens.split_first() {
            let inside = &rest[..closing(tokens)];
            tokens = &rest[inside.len()..];
            match *first {
                "[" if self.rng.random() => self.sequence(trimmed(inside)),
                "[" => {}
                "(" => self.choice(trimmed(inside)),
                "{" => {
                    for _ in 0..self.rng.random_range(1..=3) {
                        self.sequence(trimmed(inside));
                    }
                }
                _ => self.token(first),
            }
        }
    }

    fn choice(&mut self, tokens: &[&str]) {
        let mut options: Vec<&[&str]> = Vec::new();
        let (mut start, mut depth) = (0, 0);
        for (index, token) in tokens.iter().enumerate() {
            match *token {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                "|" if depth == 0 => {
                    options.push(&tokens[start..index]);
                    start = index + 1;
                }
                _ => {}
            }
        }
        options.push(&tokens[start..]);
        let chosen = options[self.rng.random_range(0..options.len())];
        self.sequence(chosen);
    }

    fn token(&mut self, token: &str) {
        self.call.push(match token.strip_prefix('$') {
            Some(kind) => word(kind, &mut self.rng, self.payloads),
            None => token.as_bytes().to_vec(),
        });
    }

    /// Makes the call wrong, or at least unusual.
    fn spoil(&mut self) {
        if self.call.len() < 2 {
            return self.call.push(b"abc".to_vec());
        }
        let at = self.rng.random_range(1..self.call.len());
        match self.rng.random_range(0..3) {
            0 => drop(self.call.remove(at)),
            1 => self.call.insert(at, self.call[at].clone()),
            _ => self.call[at] = word("junk", &mut self.rng, self.payloads),
        }
    }
}

/// How many tokens behind the first belong to the group that it opens, the closing one included; 0 if it opens none.
fn closing(tokens: &[&str]) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate() {
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index;
        }
    }
    panic!("a rule of the grammar opens a group and does not close it: {tokens:?}");
}

fn trimmed<'t, 's>(inside: &'t [&'s str]) -> &'t [&'s str] {
    &inside[..inside.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::words::is_word;

    #[test]
    fn every_rule_can_be_made_and_names_words_that_exist() {
        for rule in RULES {
            for token in rule.split(' ') {
                assert!(!token.is_empty(), "two blanks in {rule}");
                if let Some(kind) = token.strip_prefix('$') {
                    assert!(is_word(kind), "${kind} in {rule}");
                }
            }
            for seed in 0..50 {
                assert!(!generate(rule, seed, &[]).is_empty());
            }
        }
    }
}
