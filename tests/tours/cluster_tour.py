"""Writes and reads through redis-py's RedisCluster while the leader is killed.

Arguments: the ports of the cluster's nodes, a file for the keys whose writes were acknowledged. Says "started" when writes
flow, waits for a line, which says that the leader is gone, and goes on until writes flow again. Ends with one line of JSON.
"""

import json
import sys
import threading
import time

import redis
from redis.cluster import ClusterNode, LoadBalancingStrategy, RedisCluster

WRITERS = 6


class Load:
    def __init__(self, cluster):
        self.cluster = cluster
        self.lock = threading.Lock()
        self.acknowledged, self.unknown, self.errors, self.reads = [], 0, [], 0
        self.longest_gap = 0.0
        self.stop = False

    def write(self, writer):
        number, last = 0, time.monotonic()
        while not self.stop:
            key = f"py:{writer}:{number}"
            number += 1
            try:
                self.cluster.set(key, key)
                now = time.monotonic()
                with self.lock:
                    self.acknowledged.append(key)
                    self.longest_gap = max(self.longest_gap, now - last)
                last = now
                self.cluster.get(key)
                self.reads += 1
            except (redis.ConnectionError, redis.TimeoutError) as error:
                with self.lock:
                    self.unknown += 1
            except redis.RedisError as error:
                with self.lock:
                    if "not committed yet" in str(error):
                        self.unknown += 1
                    else:
                        self.errors.append(f"{type(error).__name__}: {error}")

    def wait_for(self, more):
        with self.lock:
            target = len(self.acknowledged) + more
        deadline = time.monotonic() + 30
        while len(self.acknowledged) < target:
            if time.monotonic() > deadline:
                raise AssertionError(f"writes do not flow: {self.errors[-5:]} unknown {self.unknown}")
            time.sleep(0.01)


def main():
    ports, path = sys.argv[1:-1], sys.argv[-1]
    nodes = [ClusterNode("127.0.0.1", int(port)) for port in ports]
    cluster = RedisCluster(startup_nodes=nodes, load_balancing_strategy=LoadBalancingStrategy.ROUND_ROBIN_REPLICAS)
    load = Load(cluster)
    writers = [threading.Thread(target=load.write, args=(writer,), daemon=True) for writer in range(WRITERS)]
    for writer in writers:
        writer.start()
    load.wait_for(300)
    print("started", flush=True)
    sys.stdin.readline()
    load.wait_for(1000)
    time.sleep(1)
    load.stop = True
    for writer in writers:
        writer.join()
    with open(path, "w") as file:
        file.write("\n".join(load.acknowledged))
    primary = cluster.get_primaries()
    print(json.dumps({
        "acknowledged": len(load.acknowledged), "unknown": load.unknown, "errors": load.errors, "reads": load.reads,
        "longest_gap_ms": int(load.longest_gap * 1000), "leader_port": primary[0].port,
    }), flush=True)


main()
