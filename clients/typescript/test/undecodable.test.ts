import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DibsClient } from '../src/client.js';
import { Freshness, type GetOrLockResponse, Intent } from '../src/generated/dibs/v1/coordinator.js';
import type { RebuildOptions } from '../src/options.js';
import type { CallTerms, Transport } from '../src/transport.js';
import { busy, hit, lease, RELEASED } from './fake-service.js';
import { deferred } from './service.js';

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

describe('a rebuild of a value that the codec cannot decode', () => {
  const { FRESHNESS_FRESH, FRESHNESS_STALE } = Freshness;

  /** A lease for a refresh, beside this value. */
  function leaseBeside(text: string, freshness: Freshness): GetOrLockResponse {
    const answer = lease('t', 10_000, text);
    if (answer.outcome?.$case !== 'lease') throw new Error('it is no lease');
    answer.outcome.value.reason = 6;
    if (answer.outcome.value.previous !== undefined) answer.outcome.value.previous.freshness = freshness;
    return answer;
  }

  /** Its refreshes get the lease, and all other calls the value that cannot be read. */
  function clientOf(granted: GetOrLockResponse) {
    const [refreshes, released, published] = [vi.fn(), vi.fn(), vi.fn()];
    const answered = async ({ intent }: { intent: Intent }) => {
      if (intent !== Intent.INTENT_REFRESH) return hit('<no json>');
      refreshes();
      return granted;
    };
    const transport: Partial<Transport> = {
      getOrLock: answered,
      async *getOrLockMany({ keys: [key = ''], ...request }) {
        yield { key, result: { $case: 'response', value: await answered(request) } };
      },
      publish: async () => {
        published();
        return { outcome: 1, fence: 4, counts: true, maybeStored: false };
      },
      release: async ({ token, failure }) => {
        released(token, failure?.message);
        return RELEASED;
      },
      close: () => {},
    };
    return { client: new DibsClient({ transport: transport as Transport }), refreshes, released, published };
  }

  it.each([
    ['of one key', (client: DibsClient) => client.getOrRebuild('k', () => 'own', { ttlMs })],
    [
      'of many keys',
      async (client: DibsClient) =>
        (await client.getOrRebuildMany(['k'], () => ({ k: 'own' }), { ttlMs })).get('k'),
    ],
  ])('is not needed if another caller has replaced it meanwhile: %s', async (_of, get) => {
    const { client, released, published } = clientOf(leaseBeside('"theirs"', FRESHNESS_FRESH));
    expect(await get(client)).toBe('theirs');
    await client.flush();
    expect(released.mock.calls).toEqual([['t', undefined]]);
    expect(published).not.toHaveBeenCalled();
  });

  it('runs if what came meanwhile cannot be read either, or is stale', async () => {
    for (const granted of [
      leaseBeside('<no json>', FRESHNESS_FRESH),
      leaseBeside('"theirs"', FRESHNESS_STALE),
    ]) {
      const { client, published } = clientOf(granted);
      expect(await client.getOrRebuild('k', () => 'own', { ttlMs })).toBe('own');
      expect(published).toHaveBeenCalledTimes(1);
    }
  });

  it('is joined by callers that come while it runs', async () => {
    const { client, refreshes } = clientOf(leaseBeside('<no json>', FRESHNESS_FRESH));
    const [gate, begun] = [deferred<string>(), deferred()];
    const rebuild = vi.fn(() => {
      begun.resolve();
      return gate.promise;
    });
    const first = client.getOrRebuild('k', rebuild, { ttlMs });
    await begun.promise;
    const later = [0, 1].map(() => client.getOrRebuild('k', rebuild, { ttlMs }));
    await pause(20);
    gate.resolve('own');
    expect(await Promise.all([first, ...later])).toEqual(['own', 'own', 'own']);
    expect([refreshes, rebuild].map(({ mock }) => mock.calls.length)).toEqual([1, 1]);
  });

  it('fails with its own error, although the value that cannot be read would do for staleIfError', async () => {
    const { client } = clientOf(leaseBeside('<no json>', FRESHNESS_STALE));
    const options = { ttlMs, revalidate: 'await', staleIfError: true } as const;
    await expect(client.getOrRebuild('k', () => Promise.reject(new Error('down')), options)).rejects.toThrow(
      'down',
    );
  });
});
