import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Wake, WakeChannel } from '../../src/coordination/ports/wake-channel.js';
import { until } from '../support/until.js';

export interface WakeChannelUnderTest {
  readonly channel: WakeChannel;
  /** Sends a wake as the channel's store does. */
  send(wake: Wake): Promise<void>;
  close(): Promise<void>;
}

/** What every wake channel promises while nothing fails. `start` resolves when it is live. */
export function wakeChannelContract(start: () => Promise<WakeChannelUnderTest>): void {
  let under: WakeChannelUnderTest;
  beforeAll(async () => {
    under = await start();
  });
  afterAll(() => under.close());

  const listen = () => {
    const heard: (Wake | 'resubscribed' | 'disconnected')[] = [];
    const stop = under.channel.listen({
      wake: (wake) => heard.push(wake),
      namespaceWake() {},
      resubscribed: () => heard.push('resubscribed'),
      disconnected: () => heard.push('disconnected'),
    });
    return { heard, stop };
  };

  const wakes: Wake[] = [
    { id: 'a-_9', kind: 'published', fence: 1 },
    { id: 'b', kind: 'released', fence: 0 },
    { id: 'c', kind: 'failed', fence: 1_800_000_000_000_001 },
    { id: 'a-_9', kind: 'invalidated', fence: Number.MAX_SAFE_INTEGER },
  ];

  test('is live', async () => {
    // On a busy machine, its last pong may be old for a moment.
    await until(() => under.channel.live);
  });

  test('delivers each wake once to each listener, complete and in the order of sending', async () => {
    const one = listen();
    const other = listen();
    for (const wake of wakes) await under.send(wake);
    await until(() => one.heard.length >= wakes.length && other.heard.length >= wakes.length);
    expect(one.heard).toEqual(wakes);
    expect(other.heard).toEqual(wakes);
    one.stop();
    other.stop();
  });

  test('delivers nothing to a stopped listener, which can stop twice', async () => {
    const stopped = listen();
    const other = listen();
    stopped.stop();
    stopped.stop();
    await under.send({ id: 'a', kind: 'published', fence: 1 });
    await until(() => other.heard.length === 1);
    expect(stopped.heard).toEqual([]);
    other.stop();
  });

  test('lets the same object listen twice and stop once', async () => {
    const heard: Wake[] = [];
    const listener = {
      wake: (wake: Wake) => heard.push(wake),
      namespaceWake() {},
      resubscribed() {},
      disconnected() {},
    };
    const stopFirst = under.channel.listen(listener);
    const stopSecond = under.channel.listen(listener);
    stopFirst();
    await under.send({ id: 'a', kind: 'released', fence: 1 });
    await until(() => heard.length > 0);
    stopSecond();
    const last = listen();
    await under.send({ id: 'b', kind: 'released', fence: 1 });
    await until(() => last.heard.length === 1);
    last.stop();
    expect(heard).toEqual([{ id: 'a', kind: 'released', fence: 1 }]);
  });

  test('never delivers inside the call that sends', async () => {
    const { heard, stop } = listen();
    const sent = under.send({ id: 'a', kind: 'published', fence: 2 });
    expect(heard).toEqual([]);
    await sent;
    await until(() => heard.length === 1);
    stop();
  });
}
