import { describe, expect, test } from 'vitest';
import { GatheredSteps } from '../../../src/redis/gathered-steps.js';
import { GatheredScript } from '../../../src/redis/script.js';
import { publishScript, readScript } from '../../../src/redis/value-scripts.js';

const foreign = Object.assign(new Error('WRONGTYPE'), { name: 'ReplyError' });

/** A connection that records each call as its script and its keys, and answers each step with its key. */
class ShownConnection {
  readonly calls: string[] = [];
  isCluster = false;
  failsWith: Error | undefined;

  async call(send: (client: unknown) => Promise<unknown>): Promise<unknown> {
    return send({
      callBuffer: async (_command: string, [sha1, count, ...rest]: [string, number, ...unknown[]]) => {
        const keys = rest.slice(0, count) as string[];
        this.calls.push(`${sha1 === readScript.sha1 ? 'read' : 'publish'} ${keys.join(' ')}`);
        if (this.failsWith !== undefined) throw this.failsWith;
        return keys.map((key) => (key.startsWith('foreign') ? foreign : key));
      },
    });
  }

  faultOf(error: unknown): unknown {
    return new Error('told', { cause: error });
  }
}

const READ = { known_fence: 0, bytes_max: '' };
const PUBLISH = Object.fromEntries(publishScript.args.map((name) => [name, name])) as Record<
  (typeof publishScript.args)[number],
  string
>;

function gathering() {
  const connection = new ShownConnection();
  const steps = new GatheredSteps(connection as never);
  const read = (key: string) => steps.ask(readScript, key, READ);
  const publish = (key: string, bytes = 0) => steps.ask(publishScript, key, PUBLISH, bytes);
  return { connection, steps, read, publish, calls: connection.calls };
}

/** How many steps each call has. */
const sizes = (calls: readonly string[]) => calls.map((call) => call.split(' ').length - 1);

describe('the steps of a turn', () => {
  test('are sent at its end, one call for each script, and each step gets its own reply', async () => {
    const { read, publish, calls } = gathering();
    const asked = [read('a'), publish('b'), read('c'), publish('d')];
    await Promise.resolve();
    expect(calls).toEqual([]);
    expect(await Promise.all(asked)).toEqual(['a', 'b', 'c', 'd']);
    expect(calls).toEqual(['read a c', 'publish b d']);
    await read('e');
    expect(calls).toEqual(['read a c', 'publish b d', 'read e']);
  });

  test('keep the order of each key', async () => {
    const { read, publish, calls } = gathering();
    await Promise.all([read('a'), publish('b'), read('c'), publish('a'), read('b'), publish('b')]);
    expect(calls).toEqual(['read a c', 'publish b', 'publish a', 'read b', 'publish b']);
  });

  test('are sent before other requests for their key, and wait during requests for other keys', async () => {
    const { steps, read, calls } = gathering();
    const asked = read('a');
    steps.sendBefore('b');
    expect(calls).toEqual([]);
    steps.sendBefore('a');
    expect(calls).toEqual(['read a']);
    expect(await asked).toBe('a');
  });

  test('are separate calls on a cluster, sent at once', () => {
    const { connection, read, calls } = gathering();
    connection.isCluster = true;
    void read('a');
    void read('b');
    expect(calls).toEqual(['read a', 'read b']);
  });
});

describe('an error', () => {
  test('of one step affects that step only', async () => {
    const { read } = gathering();
    const [before, failed, behind] = await Promise.allSettled([read('a'), read('foreign'), read('b')]);
    expect(before).toMatchObject({ value: 'a' });
    expect(failed).toMatchObject({ reason: { message: 'told', cause: foreign } });
    expect(behind).toMatchObject({ value: 'b' });
  });

  test('of the call affects each step', async () => {
    const { connection, read } = gathering();
    connection.failsWith = new Error('gone');
    const settled = await Promise.allSettled([read('a'), read('b')]);
    expect(settled).toMatchObject([{ reason: { message: 'gone' } }, { reason: { message: 'gone' } }]);
  });
});

describe('a call', () => {
  test('has at most 128 steps', async () => {
    for (const [steps, expected] of [
      [128, [128]],
      [129, [128, 1]],
    ] as const) {
      const { read, calls } = gathering();
      await Promise.all(Array.from({ length: steps }, (_, at) => read(`k${at}`)));
      expect(sizes(calls)).toEqual(expected);
    }
  });

  test('has at most 64 KiB, with 512 bytes for each step plus its value', async () => {
    for (const [last, expected] of [
      [16_384 - 2_048, [4]],
      [16_384 - 2_047, [3, 1]],
    ] as const) {
      const { publish, calls } = gathering();
      const values = [16_384, 16_384, 16_384, last];
      await Promise.all(values.map((bytes, at) => publish(`k${at}`, bytes)));
      expect(sizes(calls)).toEqual(expected);
    }
  });

  test('has no step above 16 KiB together with others, and no step overtakes one for the same key', async () => {
    for (const [bytes, expected] of [
      [16_384, ['publish a b b c']],
      [16_385, ['publish a', 'publish b', 'publish b c']],
    ] as const) {
      const { publish, calls } = gathering();
      await Promise.all([publish('a'), publish('b', bytes), publish('b'), publish('c')]);
      expect(calls).toEqual(expected);
    }
  });
});

test('the parts of a gathered script use no keys and no arguments, because they exist once for all steps', () => {
  for (const script of [readScript, publishScript]) {
    const parts = script.source.slice(0, script.source.indexOf('local function step('));
    expect(script).toBeInstanceOf(GatheredScript);
    expect(parts).not.toMatch(/KEYS|ARGV/);
  }
});
