import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { freeSocketPath } from '../../../src/grpc/unix-socket.js';

const folder = mkdtempSync(join(tmpdir(), 'dibs-socket-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

it('leaves a file that is not a socket alone, and names it', async () => {
  const file = at('policy.yaml');
  writeFileSync(file, 'namespaces: {}');
  symlinkSync(file, at('link'));
  for (const path of [file, at('link'), folder]) {
    await expect(freeSocketPath(path)).rejects.toThrow(`'${path}' exists and is not a socket`);
  }
  expect(readFileSync(file, 'utf8')).toBe('namespaces: {}');
});

it('leaves the socket of a listening process alone', async () => {
  const path = at('living.sock');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  await expect(freeSocketPath(path)).rejects.toThrow('another process listens there');
  expect(existsSync(path)).toBe(true);
  server.close();
});

it('accepts a free path, and names a missing folder', async () => {
  await freeSocketPath(at('free.sock'));
  await expect(freeSocketPath(at('none/dibs.sock'))).rejects.toThrow(
    `the folder '${at('none')}' does not exist`,
  );
});
