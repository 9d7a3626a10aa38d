import { describe, expect, test } from 'vitest';
import { isNoScript, type ScriptArgument, type ScriptClient } from '../../../src/redis/script.js';
import { extendScript } from '../../../src/redis/value-scripts.js';

const keys = { record: 'a key' };
const args = { group: 'g', hold_ms: 9, keep_ms: 4, alone: 3, expires_in_ms: 2, nonce: 'one' };
const ordered = [1, 'a key', 'one', 2, 3, 4, 9, 'g'];

/** A client that answers each call with the next of `answers`, and records the calls. */
class ScriptedClient implements ScriptClient {
  readonly asked: [string, ScriptArgument[]][] = [];
  constructor(private readonly answers: unknown[]) {}

  async callBuffer(command: string, given: ScriptArgument[]): Promise<unknown> {
    this.asked.push([command, given]);
    const answer = this.answers.shift();
    if (answer instanceof Error) throw answer;
    return answer;
  }
}

const noScript = new Error('NOSCRIPT No matching script.');

describe('a script', () => {
  test('passes its keys and arguments in the order of its header, whatever the order of the caller', async () => {
    const client = new ScriptedClient(['reply']);
    expect(await extendScript.run(client, keys, args)).toBe('reply');
    expect(client.asked).toEqual([['evalsha', [extendScript.sha1, ...ordered]]]);
  });

  test('sends its source if the node does not have it, once', async () => {
    const client = new ScriptedClient([noScript, 'reply']);
    expect(await extendScript.run(client, keys, args)).toBe('reply');
    expect(client.asked).toEqual([
      ['evalsha', [extendScript.sha1, ...ordered]],
      ['eval', [extendScript.source, ...ordered]],
    ]);
    const hopeless = new ScriptedClient([noScript, noScript]);
    await expect(extendScript.run(hopeless, keys, args)).rejects.toBe(noScript);
  });

  test('is not sent again after any other error', async () => {
    const client = new ScriptedClient([new Error('ERR no')]);
    await expect(extendScript.run(client, keys, args)).rejects.toThrow('ERR no');
    expect(client.asked).toHaveLength(1);
  });

  test('run from the cache alone never sends its source', async () => {
    const client = new ScriptedClient([noScript]);
    await expect(extendScript.runCached(client, keys, args)).rejects.toSatisfy(isNoScript);
    expect(client.asked).toHaveLength(1);
  });

  test('distinguishes a missing script from other errors', () => {
    expect(isNoScript(noScript)).toBe(true);
    expect(isNoScript(new Error('ERR NOSCRIPT'))).toBe(false);
    expect(isNoScript('NOSCRIPT')).toBe(false);
  });
});
