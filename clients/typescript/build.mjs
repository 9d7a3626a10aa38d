// Builds both halves of the package: `dist/esm` for `import`, `dist/commonjs` for `require`. With `--anew`, for a
// package that is published, it first installs what is missing and removes the output of earlier builds.
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

if (process.argv.includes('--anew')) {
  const { prepareFolder } = await import('../../.ci/prepare.mjs');
  await prepareFolder('.');
  rmSync(here('dist'), { recursive: true, force: true });
}

const compiler = here('../../node_modules/typescript/bin/tsc');
for (const project of ['tsconfig.json', 'tsconfig.commonjs.json']) {
  // Standard output belongs to `npm pack`, which prints the name of its file.
  const { status } = spawnSync(process.execPath, [compiler, '-p', here(project)], {
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) process.exit(1);
}

// Node and TypeScript read a file by the nearest package.json.
writeFileSync(here('dist/commonjs/package.json'), '{ "type": "commonjs" }\n');
