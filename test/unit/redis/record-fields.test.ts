import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { decodeRecord, encodeLabels, encodeTags, RECORD_FIELDS } from '../../../src/redis/record-fields.js';

const scripts = new URL('../../../src/redis/scripts/', import.meta.url);

describe('the fields of a record', () => {
  test('are read by the scripts in the order of their decoder, in one place', () => {
    const part = readFileSync(new URL('parts/record.lua', scripts), 'utf8');
    const read = /^local function fields_of\(key\)\n.*'HMGET', key,([^)]*)\)/m.exec(part)?.[1] ?? '';
    expect([...read.matchAll(/'(\w+)'/g)].map((match) => match[1])).toEqual([...RECORD_FIELDS]);
    for (const name of ['value-read', 'value-adopt', 'value-explain']) {
      const source = readFileSync(new URL(`${name}.lua`, scripts), 'utf8');
      expect(source).toContain('read_record(KEYS[1], now)');
    }
    expect(readFileSync(new URL('value-arm.lua', scripts), 'utf8')).toContain('fields_of(KEYS[1])');
  });

  test('are explained on the page about the layout of the store', () => {
    const page = readFileSync(new URL('../layout.md', scripts), 'utf8');
    const explained = new Set([...page.matchAll(/^\| `(\w+)` \|/gm)].map((match) => match[1]));
    expect([...explained].sort()).toEqual(
      [...RECORD_FIELDS, 'by', 'value', 'done', 'lease_clock', 'past'].sort(),
    );
  });

  test.each([
    ...[
      '',
      'worker vm:12',
      ' !#[]~',
      '"',
      '\\',
      'a\nb',
      '\u007f',
      'é',
      '\u2028',
      '\ud800',
      '\u0000',
      '<html>',
    ],
  ])('of a lease and its tags are JSON, whatever text a caller sends: %j', (text) => {
    for (const name of ['holder', 'traceparent', 'requestKey']) {
      const plain = {
        leaseMs: 1_234.5,
        holder: 'h',
        traceparent: '',
        reason: 'miss',
        requestKey: '',
      } as const;
      const labels = { ...plain, [name]: text };
      expect(encodeLabels(labels)).toBe(JSON.stringify(labels));
    }
    expect(encodeTags([text, 'b'])).toBe(JSON.stringify([text, 'b']));
    expect(encodeTags([])).toBe('[]');
  });

  test('are decoded to a value that keeps no memory except its own bytes', () => {
    const socketRead = Buffer.alloc(65_536, 'x');
    const reply: (Buffer | number | null)[] = RECORD_FIELDS.map(() => null);
    reply[RECORD_FIELDS.indexOf('servable_until')] = Buffer.from('2000');
    const payload = decodeRecord([...reply, 1000, socketRead.subarray(100, 103)]).value?.payload;
    const bytes = payload?.kind === 'value' ? payload.bytes : new Uint8Array();
    expect(Buffer.from(bytes).toString()).toBe('xxx');
    expect(bytes.buffer.byteLength).toBe(3);
  });
});
