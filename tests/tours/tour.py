"""A tour of the commands with redis-py, over RESP2 and RESP3, at the port given. Exits with 0 if all is as expected."""

import sys
import time

import redis


def strings(r):
    assert r.set("s", b"\x00\xff\r\n") is True
    assert r.get("s") == b"\x00\xff\r\n"
    assert r.set("s", "x", nx=True) is None
    assert r.set("s", "y", get=True) == b"\x00\xff\r\n"
    assert r.append("s", "z") == 2 and r.strlen("s") == 2
    assert r.getrange("s", 0, 0) == b"y" and r.setrange("s", 3, "!") == 4
    assert r.get("s") == b"yz\x00!"
    assert r.mset({"a": 1, "b": 2}) and r.mget("a", "missing", "b") == [b"1", None, b"2"]
    assert r.incr("n") == 1 and r.incrby("n", 41) == 42 and r.decr("n") == 41
    assert r.incrbyfloat("f", 0.1) == 0.1 and float(r.incrbyfloat("f", 0.2)) == 0.3
    assert r.getdel("a") == b"1" and r.get("a") is None
    assert r.setbit("bits", 7, 1) == 0 and r.getbit("bits", 7) == 1 and r.bitcount("bits") == 1
    assert r.bitfield("bits").incrby("u8", 0, 1).execute() == [2]


def generic(r):
    r.set("k", "v")
    assert r.expire("k", 100) and 0 < r.ttl("k") <= 100 and r.persist("k") and r.ttl("k") == -1
    assert r.rename("k", "k2") and r.type("k2") == b"string" and r.exists("k", "k2") == 1
    assert r.copy("k2", "k3") and r.touch("k2", "k3") == 2
    payload = r.dump("k3")
    assert r.restore("k4", 0, payload) and r.get("k4") == b"v"
    assert r.unlink("k3", "k4") == 2 and r.delete("k2") == 1
    r.mset({f"scan:{i}": i for i in range(200)})
    assert len(set(r.scan_iter("scan:*", count=20))) == 200
    assert len(r.keys("scan:1*")) == 111
    r.set("soon", "gone", px=60)
    time.sleep(0.12)
    assert r.get("soon") is None and r.exists("soon") == 0
    r.rpush("unsorted", 3, 1, 2)
    assert r.sort("unsorted", desc=True) == [b"3", b"2", b"1"]


def collections(r):
    assert r.hset("h", mapping={"f": 1, "g": 2}) == 2 and r.hgetall("h") == {b"f": b"1", b"g": b"2"}
    assert r.hincrby("h", "f", 4) == 5 and r.hmget("h", "f", "nope") == [b"5", None]
    assert r.hdel("h", "g") == 1 and r.hexists("h", "f") and r.hlen("h") == 1
    assert dict(r.hscan_iter("h")) == {b"f": b"5"}
    assert r.rpush("l", "a", "b", "c") == 3 and r.lpush("l", "z") == 4
    assert r.lrange("l", 0, -1) == [b"z", b"a", b"b", b"c"]
    assert r.lpop("l", 2) == [b"z", b"a"] and r.rpop("l") == b"c" and r.lindex("l", 0) == b"b"
    assert r.linsert("l", "BEFORE", "b", "a") == 2 and r.lpos("l", "b") == 1
    assert r.lmove("l", "l2", "LEFT", "RIGHT") == b"a" and r.lrem("l", 0, "b") == 1 and not r.exists("l")
    assert r.sadd("s1", 1, 2, 3) == 3 and r.sadd("s2", 2, 3, 4) == 3
    assert r.sinter("s1", "s2") == {b"2", b"3"} and r.sdiffstore("s3", "s1", "s2") == 1
    assert r.smismember("s1", ["1", "9"]) == [1, 0] and r.sintercard(2, ["s1", "s2"]) == 2
    assert r.spop("s3") == b"1" and r.scard("s3") == 0
    assert r.zadd("z", {"a": 1, "b": 2.5, "c": float("inf")}) == 3
    assert r.zscore("z", "b") == 2.5 and r.zrank("z", "c") == 2
    assert [tuple(p) for p in r.zrange("z", 0, -1, withscores=True)] == [(b"a", 1.0), (b"b", 2.5), (b"c", float("inf"))]
    assert r.zrangebyscore("z", "(1", "+inf") == [b"b", b"c"]
    assert r.zincrby("z", 2, "a") == 3.0 and r.zcount("z", 3, 3) == 1
    assert r.zunionstore("z2", ["z", "s1"]) == 6 and r.zremrangebyrank("z2", 0, 1) == 2
    popped = r.zpopmin("z", 1)
    assert tuple(popped[0]) == (b"b", 2.5), popped


def errors_and_pipelines(r):
    r.set("str", "x")
    for call, text in [
        (lambda: r.lpush("str", 1), "WRONGTYPE"),
        (lambda: r.incr("str"), "not an integer"),
        (lambda: r.execute_command("NOSUCH", 1), "unknown command"),
        (lambda: r.execute_command("GET"), "wrong number of arguments"),
    ]:
        try:
            call()
        except redis.ResponseError as error:
            assert text in str(error) or text == "WRONGTYPE" and "wrong kind" in str(error), error
        else:
            raise AssertionError(text)
    pipe = r.pipeline(transaction=False)
    for i in range(500):
        pipe.set(f"p:{i}", i).get(f"p:{i}").incr("p:n")
    replies = pipe.execute()
    assert replies[1::3] == [str(i).encode() for i in range(500)]
    assert replies[2::3] == list(range(1, 501))


def connection(r, protocol):
    assert r.ping() and r.echo("hi") == b"hi"
    assert r.client_setname("tour") and r.client_getname() in ("tour", b"tour")
    assert r.client_id() > 0 and any(c["name"] == "tour" for c in r.client_list())
    assert r.dbsize() > 0 and r.info("server")["tcp_port"] > 0
    assert r.command_count() > 100 and "get" in r.command()
    assert r.config_get("maxmemory*") is not None and r.time()[0] > 0
    hello = r.execute_command("HELLO", protocol)
    assert b"redis" in (hello.values() if isinstance(hello, dict) else hello)


def main():
    port = int(sys.argv[1])
    for protocol in (2, 3):
        r = redis.Redis(port=port, protocol=protocol, socket_timeout=20, single_connection_client=True)
        r.flushall()
        strings(r)
        generic(r)
        collections(r)
        errors_and_pipelines(r)
        connection(r, protocol)
        r.flushall()
        assert r.dbsize() == 0
    print("tour done")


main()
