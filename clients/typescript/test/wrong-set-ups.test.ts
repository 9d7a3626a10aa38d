import { expect, it } from 'vitest';
import { DibsClient } from '../src/client.js';
import type { DibsClientOptions } from '../src/options.js';

// Options with which a client would work, and silently do without what they ask for.

const nearCache = { maxBytes: 1_000_000 };

it.each<[string, DibsClientOptions]>([
  ['nearCache: needs sessions', { nearCache, session: false }],
  ['serveNearWhenUnavailable: needs nearCache', { serveNearWhenUnavailable: true }],
  ['nearCache.namespaces: "price list" is not', { nearCache: { ...nearCache, namespaces: ['price list'] } }],
  ['nearCache.namespaces: "nnn', { nearCache, namespace: 'n'.repeat(65) }],
  ['hooks.onHit: is not a function', { hooks: { onHit: 'count' as never } }],
])('are refused by name: %s', (text, options) => {
  expect(() => new DibsClient(options)).toThrow(text);
});

it('are no others than these', () => {
  const namespaces = ['', 'A-z_0.9', 'n'.repeat(64)];
  new DibsClient({ nearCache: { ...nearCache, namespaces }, serveNearWhenUnavailable: true }).close();
  new DibsClient({ session: false, serveNearWhenUnavailable: false }).close();
});
