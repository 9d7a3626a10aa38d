import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DibsClient } from '../src/client.js';
import type { GetOrLockResponse } from '../src/generated/dibs/v1/coordinator.js';
import type { RebuildOptions } from '../src/options.js';
import type { CallTerms, Transport } from '../src/transport.js';
import { busy, hit } from './fake-service.js';

// A value that the codec cannot read is rebuilt. Its caller waits no longer than it would for another value.

const ttlMs = 60_000;
const HIT_MS = 300;
const WAIT_MS = 500;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Gives a value that is no JSON, after a while. Then every request waits in vain for as long as it may. */
function slowTransport() {
  const waits: (number | undefined)[] = [];
  const getOrLock = async ({ waitMs }: { waitMs?: number | undefined }): Promise<GetOrLockResponse> => {
    waits.push(waitMs);
    await pause(waits.length === 1 ? HIT_MS : (waitMs ?? 0));
    return waits.length === 1 ? hit('<no json>') : busy(5_000);
  };
  const transport: Partial<Transport> = {
    getOrLock,
    async *getOrLockMany({ keys: [key = ''], ...request }, _terms: CallTerms) {
      yield { key, result: { $case: 'response', value: await getOrLock(request) } };
    },
    close: () => {},
  };
  return { waits, transport: transport as Transport };
}

describe('a value that the codec cannot decode', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const options: RebuildOptions = { ttlMs, waitMs: WAIT_MS };
  it.each([
    ['of one key', (client: DibsClient) => client.getOrRebuild('k', () => 'v', options)],
    [
      'of many keys',
      (client: DibsClient) =>
        client
          .getOrRebuildMany(['k'], () => ({ k: 'v' }), options)
          .catch(({ errors }) => Promise.reject(errors.get('k'))),
    ],
  ])('gives its caller no second wait: %s', async (_of, ask) => {
    const { waits, transport } = slowTransport();
    const onUndecodable = vi.fn();
    const client = new DibsClient({ transport, hooks: { onUndecodable } });
    const over = vi.fn();
    const ended = expect(ask(client)).rejects.toMatchObject({ reason: 'wait_ended' }).then(over);
    await vi.advanceTimersByTimeAsync(WAIT_MS + HIT_MS - 50);
    expect(over).toHaveBeenCalled();
    await ended;
    expect(onUndecodable).toHaveBeenCalledTimes(1);
    expect(waits.at(-1)).toBeLessThanOrEqual(WAIT_MS - HIT_MS + 5);
  });
});
