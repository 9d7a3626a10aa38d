// Builds programs that tests run and that are in no distribution, from Go modules whose versions and hashes are pinned
// in test/programs/PIN. Each is built once per pin and kept.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Returns the path of the program. The first build takes minutes. Rejects with the reason if it cannot be built.
 *
 * @param {string} root
 * @param {'helm' | 'jaeger' | 'registry' | 'etcd' | 'kube-apiserver' | 'kubectl'} name
 * @param {'helm' | 'jaeger' | 'registry' | 'kubernetes'} [pin] the folder of its pin, if it has another name
 * @returns {Promise<string>}
 */
export async function findGoProgram(root, name, pin = /** @type {any} */ (name)) {
  const module = join(root, 'test', 'programs', pin);
  const cache = join(root, 'node_modules', '.cache', 'programs');
  const path = join(cache, `${name}-${pinOf(module)}`);
  if (existsSync(path)) return path;
  mkdirSync(cache, { recursive: true });
  console.log(`building ${name} from its Go module, once; this may take ten minutes`);
  // Built under another name, so that no other process runs an incomplete file.
  const fresh = `${path}.${process.pid}`;
  try {
    await go(['build', '-trimpath', `-ldflags=${linkOf(module)}`, '-o', fresh, toolOf(module, name)], module);
    renameSync(fresh, path);
  } finally {
    rmSync(fresh, { force: true });
  }
  return path;
}

/**
 * @param {string[]} args
 * @param {string} cwd
 * @returns {Promise<void>}
 */
function go(args, cwd) {
  return new Promise((resolve, reject) => {
    const child = spawn('go', args, { cwd, stdio: ['ignore', 'ignore', 'inherit'] });
    child.on('error', () => reject(new Error('go is not installed')));
    child.on('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`\`go ${args.join(' ')}\` failed in ${cwd}`)),
    );
  });
}

/** @param {string} module */
function pinOf(module) {
  const hash = createHash('sha256');
  for (const file of ['go.mod', 'go.sum']) hash.update(readFileSync(join(module, file)));
  return hash.digest('hex').slice(0, 12);
}

/** Kubernetes knows its version only from the build, and charts ask for it. @param {string} module */
function linkOf(module) {
  const [, version] =
    /^\tk8s\.io\/kubernetes (v\S+)/m.exec(readFileSync(join(module, 'go.mod'), 'utf8')) ?? [];
  const said = version === undefined ? '' : ` -X k8s.io/component-base/version.gitVersion=${version}`;
  return `-s -w${said}`;
}

/**
 * The package that a pin names as a tool, such as `go.etcd.io/etcd/server/v3` for etcd.
 *
 * @param {string} module
 * @param {string} name
 */
function toolOf(module, name) {
  const lines = readFileSync(join(module, 'go.mod'), 'utf8').split('\n');
  const packages = lines.map((line) => line.trim().replace(/^tool /, ''));
  const tool = packages.find((path) => !path.includes(' ') && path.split('/').includes(name));
  if (tool === undefined) throw new Error(`${module}/go.mod names no tool ${name}`);
  return tool;
}
