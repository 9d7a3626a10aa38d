import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { StorePublish } from '../../src/coordination/ports/value-store.js';
import { WAKE_VALUE_BYTES_MAX } from '../../src/coordination/ports/wake-channel.js';
import { ABSENT, LONG_MS, StoreTrial, type StoreUnderTest, textValue } from '../support/store-trial.js';

/** What the wake of a small value carries, on a store whose wakes carry values. */
export function wokenValueContract(start: () => Promise<StoreUnderTest>): void {
  let under: StoreUnderTest;
  let trial: StoreTrial;
  beforeAll(async () => {
    under = await start();
  });
  afterAll(() => under.close());
  beforeEach(() => {
    trial = new StoreTrial(under);
  });

  const woken = async (request: Partial<StorePublish> = {}) => {
    await trial.arm('n1');
    await under.pass(20);
    await trial.publish('n1', request);
    return trial.wokenValues();
  };

  describe('the wake of a publish', () => {
    test('carries all of a small value that a read returns', async () => {
      const bytes = Uint8Array.from({ length: 512 }, (_, at) => at % 256);
      const tags = ['a:b', 'ü"\\', '\n'];
      const [value, ...others] = await woken({
        ...{ payload: { kind: 'value', bytes }, ttlMs: LONG_MS, staleMs: 7_000, tags },
      });
      expect(others).toEqual([]);
      const { value: read, rebuild } = await trial.read();
      const { payload } = value ?? {};
      expect(payload?.kind === 'value' && [...payload.bytes]).toEqual([...bytes]);
      expect(value).toMatchObject({ staleMs: read?.staleMs, tags, rebuild });
      expect(value).toMatchObject({ ttlMs: LONG_MS, clock: read?.clock });
      expect(value?.storedAfterMs).toBeGreaterThanOrEqual(0);
    });

    test.each([
      ['absent', ABSENT],
      ['empty', textValue('')],
    ])('distinguishes an %s value from others', async (_what, payload) => {
      expect((await woken({ payload }))[0]?.payload).toEqual(payload);
    });

    test('carries no value that is too large with its tags, and still arrives once', async () => {
      const tags = ['t'];
      const bytesMax = WAKE_VALUE_BYTES_MAX - JSON.stringify(tags).length;
      const ofBytes = (bytes: number) => ({ tags, payload: textValue('x'.repeat(bytes)) });
      expect(await woken(ofBytes(bytesMax))).toMatchObject([{ payload: { kind: 'value' } }]);
      trial = trial.another();
      expect(await woken(ofBytes(bytesMax + 1))).toEqual([undefined]);
    });

    test('is a separate one for another key or a later lease of the key', async () => {
      expect(await woken()).toHaveLength(1);
      await trial.arm('n2');
      await trial.publish('n2', { payload: textValue('second') });
      const all = await trial.wokenValues();
      expect(all.map((it) => it?.payload)).toEqual([textValue('a value'), textValue('second')]);
      expect(await trial.another().wokenValues()).toEqual([]);
    });
  });
}
