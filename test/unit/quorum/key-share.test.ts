import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

test('the service and its client share keys by the same code', () => {
  const [service, client] = ['src/quorum/key-share.ts', 'clients/typescript/src/key-share.ts'].map((path) =>
    readFileSync(path, 'utf8'),
  );
  expect(service).toBe(client);
});
