// `npm run sbom` runs this. It writes dist/sbom.cdx.json, a CycloneDX list of the packages that the service needs at
// run time. `npm sbom --omit dev` alone omits packages that are also development packages of the client in the
// workspace, for example @bufbuild/protobuf. So it runs in a folder that has only the service's own dependencies; npm
// names the product after that folder.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const target = join('dist', 'sbom.cdx.json');
const readJson = (name) => JSON.parse(readFileSync(join(root, name), 'utf8'));

const { name, version, description, license, dependencies } = readJson('package.json');
const lock = readJson('package-lock.json');
lock.packages[''] = { name, version, license, dependencies };
for (const [path, { dev, link }] of Object.entries(lock.packages)) {
  const isInWorkspace = path !== '' && !path.includes('node_modules/');
  if (dev || link || isInWorkspace) delete lock.packages[path];
}

const scratch = mkdtempSync(join(tmpdir(), 'dibs-sbom-'));
try {
  const folder = join(scratch, name);
  mkdirSync(folder);
  const product = { name, version, description, license, private: true, dependencies };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(product));
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify(lock));
  copyFileSync(join(root, '.npmrc'), join(folder, '.npmrc'));
  const what = ['--sbom-format', 'cyclonedx', '--sbom-type', 'application', '--package-lock-only'];
  const sbom = execFileSync('npm', ['sbom', ...what], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  mkdirSync(join(root, 'dist'), { recursive: true });
  writeFileSync(join(root, target), sbom);
  console.log(`written to ${target}`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
