import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { FILE_BYTES_MAX, readText, readTextLater } from '../../../src/config/file-text.js';

const folder = mkdtempSync(join(tmpdir(), 'dibs-text-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

describe.each([
  ['at start', async (path: string) => readText(path)],
  ['while the process runs', readTextLater],
])('a file %s', (_, read) => {
  it('is read as it is', async () => {
    const text = '\ufeffnamespaces: { Übung: {} }\r\n';
    writeFileSync(at('plain'), text);
    expect(await read(at('plain'))).toBe(text);
    writeFileSync(at('empty'), '');
    expect(await read(at('empty'))).toBe('');
  });

  it('has a largest size, and nothing of a larger one is read', async () => {
    writeFileSync(at('large'), '');
    truncateSync(at('large'), FILE_BYTES_MAX);
    expect(await read(at('large'))).toHaveLength(FILE_BYTES_MAX);
    for (const bytes of [FILE_BYTES_MAX + 1, 1_073_741_824]) {
      truncateSync(at('large'), bytes);
      await expect(read(at('large'))).rejects.toThrow(`it has ${bytes} bytes, and may have at most 1048576`);
    }
  });

  it('is a plain file, and nothing else is waited for', async () => {
    rmSync(at('pipe'), { force: true });
    execFileSync('mkfifo', [at('pipe')]);
    await expect(read(folder)).rejects.toThrow('it is a folder, and must be a plain file');
    await expect(read(at('pipe'))).rejects.toThrow('it is a named pipe, and must be a plain file');
    await expect(read('/dev/zero')).rejects.toThrow('it is a device, and must be a plain file');
    await expect(read(at('none'))).rejects.toThrow('ENOENT');
  });
});
