import type { DibsClient } from '../src/client.js';
import { bytes } from '../src/codec.js';

interface Plan {
  readonly key: string;
  readonly calls: number;
  readonly in_flight: number;
}

/**
 * The cost of a hit by getOrRebuild compared with a plain GetOrLock on the same session, in microseconds of wall time.
 */
export async function overhead(client: DibsClient, { key, calls, in_flight }: Plan): Promise<object> {
  const value = Buffer.alloc(100, 'x');
  await client.getOrRebuild(key, () => value, { ttlMs: 3_600_000, codec: bytes() });
  const rounds = [0, 1, 2];
  const by = async (once: (at: number) => Promise<unknown>) => {
    let left = calls;
    const startMs = performance.now();
    const worker = async (at: number) => {
      for (; left > 0; left -= 1) await once(at);
    };
    await Promise.all(Array.from({ length: in_flight }, (_, at) => worker(at)));
    return ((performance.now() - startMs) * 1_000) / calls;
  };
  const took = { client: [] as number[], stub: [] as number[] };
  const keys = Array.from({ length: in_flight }, (_, at) => `${key} ${at}`);
  for (const one of keys) await client.getOrRebuild(one, () => value, { ttlMs: 3_600_000, codec: bytes() });
  for (const _ of rounds) {
    took.stub.push(await by((at) => client.getOrLock({ key: keys[at] as string })));
    took.client.push(
      await by((at) =>
        client.getOrRebuild(keys[at] as string, () => value, { ttlMs: 3_600_000, codec: bytes() }),
      ),
    );
  }
  const middle = (all: number[]) => all.sort((a, b) => a - b)[1];
  return { client_us: middle(took.client), stub_us: middle(took.stub), stub: 'session' };
}
