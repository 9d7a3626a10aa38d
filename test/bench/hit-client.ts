import { Redis } from 'ioredis';
import { DibsClient } from '../../clients/typescript/src/client.js';
import { bytes } from '../../clients/typescript/src/codec.js';
import { EchoClient } from './bare-echo.js';
import { carryOutOrders } from './client-process.js';
import { MetaClient } from './meta-client.js';
import { repeating } from './rate.js';

// One client process of the bench `hits`, which starts one for each way, so that no way runs code that another has made
// slower. Its arguments are the way, and the address of what it asks, or its port.

export type HitWay = 'session' | 'unary' | 'near' | 'echo' | 'get' | 'pipelined' | 'meta';

export interface HitOrder {
  readonly inFlight: number;
  readonly ms: number;
  readonly keys: readonly string[];
  /** The size of each value. */
  readonly bytes: number;
}

type Once = (key: string, bytes: number) => Promise<unknown>;

function hit(client: DibsClient): Once {
  return async (key) => {
    const { kind } = await client.getOrLock({ key });
    if (kind !== 'hit') throw new Error(`expected a hit, got ${kind}`);
  };
}

function fromMemory(target: string): Once {
  const client = new DibsClient({ target, nearCache: { maxBytes: 2 ** 28 } });
  const options = { ttlMs: 3_600_000, codec: bytes() };
  const never = () => {
    throw new Error('expected a hit');
  };
  return (key) => client.getOrRebuild(key, never, options);
}

function get(url: string, enableAutoPipelining: boolean): Once {
  const redis = new Redis(url, { enableAutoPipelining });
  return (key) => redis.getBuffer(key);
}

function meta(port: string): Once {
  const client = new MetaClient(Number(port));
  return async (key) => {
    const { code } = await client.get(key, 'v', 't', 'f');
    if (code !== 'VA') throw new Error(`expected a hit, got ${code}`);
  };
}

function echo(target: string): Once {
  const client = new EchoClient(target);
  let value = Buffer.alloc(0);
  return (_key, bytes) => {
    if (value.byteLength !== bytes) value = Buffer.alloc(bytes, 'v');
    return client.call(value);
  };
}

const WAYS: Readonly<Record<HitWay, (target: string) => Once>> = {
  session: (target) => hit(new DibsClient({ target })),
  unary: (target) => hit(new DibsClient({ target, session: false })),
  near: fromMemory,
  echo,
  get: (url) => get(url, false),
  pipelined: (url) => get(url, true),
  meta,
};

const [way, target = ''] = process.argv.slice(2);
const once = WAYS[way as HitWay](target);

carryOutOrders<HitOrder>(({ inFlight, ms, keys, bytes }) =>
  repeating((at) => once(keys[at % keys.length] as string, bytes))(inFlight, ms),
);
