import { describe, expect, test } from 'vitest';
import type { Payload } from '../../src/coordination/words/outcome.js';
import { ABSENT, LONG_MS, SHORT_MS, type StoreTrial, textOf, textValue } from '../support/store-trial.js';

/** What a read returns, and what it leaves out. */
export function readingContract(current: () => StoreTrial): void {
  describe('read', () => {
    test('leaves out a payload that the caller already has, and no other', async () => {
      const trial = current();
      const read = (known: { fence: number; payload: Payload }) => trial.store.read(trial.id, { known });
      for (const payload of [textValue('first'), textValue(''), ABSENT]) {
        const fence = await trial.stored('n', { payload, tags: ['a'], staleMs: LONG_MS });
        // The store returns the given payload itself, without a comparison.
        const own = textValue('the one that the caller has');
        const kept = await read({ fence, payload: own });
        expect(kept.value?.payload).toBe(own);
        expect({ ...kept.value, payload }).toMatchObject({ fence, payload, tags: ['a'] });
        for (const other of [fence - 1, fence + 1, 0]) {
          expect(textOf(await read({ fence: other, payload: own })), `fence ${other}`).toBe(
            textOf(await trial.read()),
          );
        }
      }
    });

    test('reports that a known value is stale or gone', async () => {
      const trial = current();
      const fence = await trial.stored('n', { staleMs: LONG_MS });
      const known = { fence, payload: textValue('a value') };
      await trial.invalidate('mark_stale');
      expect((await trial.store.read(trial.id, { known })).value).toMatchObject({ freshForMs: 0, fence });
      await trial.invalidate();
      expect((await trial.store.read(trial.id, { known })).value).toBeUndefined();
    });

    test('does not return an expired value, and keeps the record', async () => {
      const trial = current();
      const fence = await trial.stored('n', { ttlMs: SHORT_MS });
      await trial.under.pass(2 * SHORT_MS);
      expect(await trial.read()).toMatchObject({
        fence,
        valueFence: fence,
        lastEnd: 'published',
        value: undefined,
      });
      expect((await trial.store.explain(trial.id)).record.value).toBeUndefined();
      expect(await trial.publishWithClock('n')).toEqual({ outcome: 'duplicate', fence: 0, clock: '' });
    });

    test('calls `sent` once', async () => {
      const trial = current();
      let sent = 0;
      await trial.store.read(trial.id, {
        sent: () => {
          sent += 1;
        },
      });
      expect(sent).toBe(1);
    });
  });

  describe('explain', () => {
    test.each([
      ['a value', textValue('füll'), 5],
      ['an empty one', textValue(''), 0],
      ['an absent one', ABSENT, undefined],
    ] as const)('measures %s without moving it', async (_name, payload, sizeBytes) => {
      const trial = current();
      const fence = await trial.stored('n', { payload });
      const { value } = (await trial.store.explain(trial.id)).record;
      expect(value).toMatchObject({ fence, sizeBytes });
      expect(value).not.toHaveProperty('payload');
    });
  });
}
