// Copies what the service reads at run time and tsc does not carry along from src to dist.
import { chmodSync, cpSync, statSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const ASSETS = ['.lua', '.binpb', '.html', '.css', '.js', '.svg'];

cpSync(join(root, 'src'), join(root, 'dist'), {
  recursive: true,
  filter: (source) => statSync(source).isDirectory() || ASSETS.includes(extname(source)),
});

// A command that `npx` runs as it stands; tsc writes files without the right to run.
chmodSync(join(root, 'dist', 'cli.js'), 0o755);
