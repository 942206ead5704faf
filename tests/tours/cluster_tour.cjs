// Writes and reads through ioredis's Cluster while the leader is killed.
//
// Arguments: the ports of the cluster's nodes, a file for the keys whose writes were acknowledged. Says "started" when
// writes flow, waits for a line, which says that the leader is gone, and goes on until writes flow again. Ends with one
// line of JSON.

'use strict';

const fs = require('fs');
const { Cluster } = require('ioredis');

const WRITERS = 6;
const ports = process.argv.slice(2, -1).map(Number);
const path = process.argv[process.argv.length - 1];
const cluster = new Cluster(ports.map((port) => ({ host: '127.0.0.1', port })), { scaleReads: 'slave' });
// Its own account of connections that break; what commands are told is what counts.
cluster.on('error', () => {});

const state = { acknowledged: [], unknown: 0, errors: [], reads: 0, longestGap: 0, stop: false };

async function write(writer) {
  let last = Date.now();
  for (let number = 0; !state.stop; number += 1) {
    const key = `js:${writer}:${number}`;
    try {
      await cluster.set(key, key);
      const now = Date.now();
      state.acknowledged.push(key);
      state.longestGap = Math.max(state.longestGap, now - last);
      last = now;
      await cluster.get(key);
      state.reads += 1;
    } catch (error) {
      const isUnknown = /not committed yet|Connection is closed|ECONNRESET|Command aborted due to connection close/;
      if (isUnknown.test(error.message)) state.unknown += 1;
      else state.errors.push(String(error));
    }
  }
}

async function waitFor(more) {
  const target = state.acknowledged.length + more;
  const deadline = Date.now() + 30000;
  while (state.acknowledged.length < target) {
    if (Date.now() > deadline) {
      console.log(JSON.stringify({ errors: ['writes do not flow', ...state.errors.slice(-5)], unknown: state.unknown }));
      process.exit(1);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function main() {
  const writers = [...Array(WRITERS).keys()].map(write);
  await waitFor(300);
  console.log('started');
  await new Promise((resolve) => process.stdin.once('data', resolve));
  await waitFor(1000);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  state.stop = true;
  await Promise.all(writers);
  fs.writeFileSync(path, state.acknowledged.join('\n'));
  const master = cluster.nodes('master')[0];
  console.log(JSON.stringify({
    acknowledged: state.acknowledged.length,
    unknown: state.unknown,
    errors: state.errors,
    reads: state.reads,
    longest_gap_ms: state.longestGap,
    leader_port: master.options.port,
  }));
  process.exit(0);
}

main();
