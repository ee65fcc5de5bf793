import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fuzz } from './support/fuzz.js';
import { mutateBytes } from './support/mutate-bytes.js';
import { mutateJson, type Json } from './support/mutate-json.js';
import type { Random } from './support/random.js';
import { exchange } from './support/rpc-exchange.js';
import { rpcRequests } from './support/rpc-requests.js';
import { sweep, sweepAll } from './support/rpc-sweep.js';
import { Victim } from './support/victim.js';

const MIB = 1024 * 1024;
const SCRATCH_BYTES = 32 * MIB;
/** A request of 256 KiB may be a batch of 5,000 calls, whose answer has 17 MiB; some of 16 clients send one at a time. */
const RSS_LIMIT_BYTES = 768 * MIB;
const SWEEP_EVERY = 400;
const LONGEST_WAIT_MS = 1_000;

/** What the bystander stands on. */
const KEPT: ReadonlySet<string> = new Set(['disk', 'store-0', 'nqn.2026-01.io.lariat:bystander']);

/** A valid request half of the time; else one with other parameters, another envelope, other bytes, or a batch. */
function mutatedRequest(requests: ReturnType<typeof rpcRequests>, random: Random): Buffer {
  const plain = (): Json => {
    const [method, params] = random.pick(requests);
    return {
      ...{ jsonrpc: '2.0', id: 1, method },
      params: random.chance(0.5) ? params : mutateJson(params, random),
    };
  };
  const encode = (value: Json): Buffer =>
    Buffer.from(
      // A connection stays for as long as its calls: one that waits for days would look like a leak.
      JSON.stringify(value, (name, each: unknown) =>
        name === 'timeout' && typeof each === 'number' && each > LONGEST_WAIT_MS
          ? LONGEST_WAIT_MS
          : each,
      ),
    );
  switch (random.below(10)) {
    case 0:
      return encode(mutateJson(plain(), random));
    case 1:
      return mutateBytes(encode(plain()), random);
    case 2:
      return encode(Array.from({ length: random.pick([0, 1, 3, 50]) }, plain));
    case 3:
      return random.chance(0.1) ? oversized(random) : random.bytes(random.below(200));
    default:
      return encode(plain());
  }
}

/** Within a few bytes of the longest request there may be, or as deep. */
function oversized(random: Random): Buffer {
  const limitBytes = 256 * 1024;
  const length = limitBytes + random.below(9) - 4;
  switch (random.below(5)) {
    case 0:
      return Buffer.from(`{"method":"spdk_get_version","id":"${'x'.repeat(length)}"}`);
    case 1:
      return Buffer.from('['.repeat(length / 2) + ']'.repeat(length / 2));
    case 2:
      return Buffer.from('{"a":'.repeat(length / 6) + '1' + '}'.repeat(length / 6));
    case 3:
      return Buffer.from(`[${'1,'.repeat(length / 2 - 2)}1]`);
    default:
      return Buffer.from(`[${'{"id":1,"method":"rpc_get_methods"},'.repeat(5000)}1]`);
  }
}

describe('JSON-RPC', () => {
  let victim: Victim;
  let scratchFile: string;

  beforeEach(async () => {
    victim = await Victim.start({
      rssLimitBytes: RSS_LIMIT_BYTES,
      prepare: async (target) => {
        scratchFile = join(dirname(target.diskPath), 'scratch.img');
        const scratch = await open(scratchFile, 'w');
        await scratch.truncate(SCRATCH_BYTES);
        await scratch.close();
      },
    });
  });

  afterEach((context) => victim.lab.close(context));

  test('whatever is sent, the target goes on, and the volume of another is not touched', async () => {
    const { target } = victim;
    const requests = rpcRequests({ scratchFile, port: target.port });
    const known = new Set((await target.rpc.call('rpc_get_methods')) as readonly string[]);
    expect(requests.map(([method]) => method).filter((method) => !known.has(method))).toEqual([]);
    await fuzz({
      name: 'json-rpc',
      lanes: 16,
      iterate: async (random, iteration) => {
        if (iteration % SWEEP_EVERY === SWEEP_EVERY - 1) await sweep(target, KEPT);
        await exchange(target.rpcSocket, mutatedRequest(requests, random), random);
      },
      check: () => victim.check(),
    });
    await sweepAll(target, KEPT);
    await victim.checkEnd();
  });
});
