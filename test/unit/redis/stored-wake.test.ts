import { describe, expect, it } from 'vitest';
import { parseStoredWake } from '../../../src/redis/stored-wake.js';

const parse = (text: string) => parseStoredWake(Buffer.from(text));

describe('a wake with a value', () => {
  it('is first read without its value, which is decoded later', () => {
    const wake = parse('value:published:7:a-_9:value:5000:6000:2500:500:clock.3:7:["a:ü"]x:y');
    expect(wake?.plain).toBe('published:7:a-_9');
    // The length counts bytes.
    expect(wake?.decode(1)).toBeUndefined();
    const right = parse('value:published:7:a-_9:value:5000:6000:2500:500:clock.3:8:["a:ü"]x:y');
    expect(right?.decode(1)).toEqual({
      payload: { kind: 'value', bytes: new TextEncoder().encode('x:y') },
      ...{ ttlMs: 5_000, staleMs: 6_000, clock: 'clock.3', tags: ['a:ü'] },
      rebuild: { meanMs: 2.5, deviationMs: 0.5 },
      storedAfterMs: 1,
    });
  });

  it.each(['', 'value', 'value:', 'values:published:7:a:', 'published:7:a', 'value:published:7'])(
    'is not %j',
    (text) => {
      expect(parse(text)).toBeUndefined();
    },
  );

  it.each([
    ['ends too early', ''],
    ['has no length', 'value:1:2:4:5:c.1:'],
    ['is of another kind', 'other:1:2:4:5:c.1:2:[]'],
    ['has an invalid number', 'value:1:-2:4:5:c.1:2:[]'],
    ['has tags that are not strings', 'value:1:2:4:5:c.1:3:[1]'],
    ['ends within its tags', 'value:1:2:4:5:c.1:9:[]'],
  ])('has no value if it %s', (_what, rest) => {
    const wake = parse(`value:published:7:a:${rest}`);
    expect(wake?.plain).toBe('published:7:a');
    expect(wake?.decode(0)).toBeUndefined();
  });

  it("is copied, so that it does not keep the socket's buffer in memory", () => {
    const message = Buffer.from('value:published:7:a:value:1:2:4:5:c.1:2:[]x');
    const payload = parseStoredWake(message)?.decode(0)?.payload;
    expect(payload?.kind === 'value' && payload.bytes.buffer.byteLength).toBe(1);
  });
});
