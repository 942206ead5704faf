#!/usr/bin/env bash
# A tour of the commands with redis-cli at the port given: each line is a command and what redis-cli prints for it.
set -euo pipefail
port=$1

expect() {
    local wanted=$1 got
    shift
    got=$(redis-cli -p "$port" "$@" | tr '\n' ' ' | sed 's/ *$//')
    if [ "$got" != "$wanted" ]; then
        echo "redis-cli $*: wanted '$wanted', got '$got'" >&2
        exit 1
    fi
}

expect OK FLUSHALL
expect PONG PING
expect OK SET greeting hello EX 100
expect hello GET greeting
expect 100 TTL greeting
expect '2' RPUSH list a b
expect 'a b' LRANGE list 0 -1
expect 1 HSET hash field value
expect 'field value' HGETALL hash
expect 2 SADD set x y
expect 2 SCARD set
expect 1 ZADD zset 1.5 m
expect 'm 1.5' ZRANGE zset 0 -1 WITHSCORES
expect 'WRONGTYPE Operation against a key holding the wrong kind of value' LPUSH greeting x
expect "ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b'" NOSUCH a b
expect "ERR wrong number of arguments for 'get' command" GET
expect 5 DBSIZE
expect 1 DEL list
expect string TYPE greeting
expect 'OK' SELECT 0
expect 'ERR DB index is out of range' SELECT 1
expect 'hello' -3 GET greeting
test "$(redis-cli -p "$port" INFO server | grep -c '^tcp_port:')" = 1
test "$(redis-cli -p "$port" --scan --pattern 'gree*')" = greeting
seq 1 1000 | sed 's/.*/SET mass:& &/' | redis-cli -p "$port" --pipe | grep -q 'errors: 0, replies: 1000'
expect 1000 GET mass:1000
echo 'tour done'
