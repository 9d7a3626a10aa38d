import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DibsClient } from '../src/client.js';
import { FakeService, hit, Refusal, unavailable } from './fake-service.js';

// What a client says about the service: only an answer of the service shows that it is reached again.

const ttlMs = 60_000;
let fake: FakeService;
let client: DibsClient;
let tokenFails: boolean;
let said: unknown[];

beforeEach(async () => {
  fake = await FakeService.start();
  [tokenFails, said] = [false, []];
  vi.spyOn(process, 'emitWarning').mockImplementation((...to: unknown[]) => {
    const { code } = to[1] as { code?: string };
    if (code?.startsWith('DIBS_')) said.push(code);
  });
  const token = () => {
    if (tokenFails) throw new Error('no token now');
    return 't';
  };
  client = fake.client({ token, session: false });
  fake.will('getOrLock', unavailable());
  await expect(get()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect(said).toEqual(['DIBS_UNREACHABLE']);
});
afterEach(() => {
  vi.restoreAllMocks();
  fake.stop();
});

const get = () => client.getOrRebuild('k', () => 'v', { ttlMs, onUnavailable: 'fail' });

describe('a service that could not be reached', () => {
  it.each([
    ['a value', hit('"v"')],
    ['a refusal', new Refusal(7, 'not yours')],
    ['a time to retry that is too late', unavailable(3_600_000)],
  ])('is reached again once it answers with %s', async (_what, answer) => {
    fake.will('getOrLock', answer);
    await get().catch(() => {});
    expect(said).toEqual(['DIBS_UNREACHABLE', 'DIBS_REACHABLE']);
  });

  it('is not reached when the token function fails', async () => {
    tokenFails = true;
    await expect(get()).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    expect(said).toEqual(['DIBS_UNREACHABLE']);
  });

  it('is not reached when a closed client refuses a call', async () => {
    client.close();
    await expect(get()).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(said).toEqual(['DIBS_UNREACHABLE']);
  });

  it('is not reached when its caller leaves', async () => {
    fake.will('getOrLock', 'never');
    const left = new AbortController();
    const call = client.getOrRebuild('other', () => 'v', { ttlMs, signal: left.signal });
    const asked = fake.heard.length;
    await vi.waitFor(() => expect(fake.heard.length).toBeGreaterThan(asked));
    left.abort(new Error('left'));
    await expect(call).rejects.toThrow('left');
    await vi.waitFor(() => expect(fake.heard.at(-1)?.cancelled).toBe(true));
    expect(said).toEqual(['DIBS_UNREACHABLE']);
  });
});
