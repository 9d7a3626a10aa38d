// Copies the files that the service reads at run time, and that tsc does not copy, from src to dist.
import { chmodSync, cpSync, statSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const ASSETS = ['.lua', '.binpb', '.html', '.css', '.js', '.svg'];

cpSync(join(root, 'src'), join(root, 'dist'), {
  recursive: true,
  filter: (source) => statSync(source).isDirectory() || ASSETS.includes(extname(source)),
});

// `npx` runs this file directly; tsc writes files that are not executable.
chmodSync(join(root, 'dist', 'cli.js'), 0o755);
