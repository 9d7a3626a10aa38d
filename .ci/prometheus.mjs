// Finds Prometheus and `promtool`, which checks alert rules and runs their tests. They come from the PATH or, on Debian
// and Ubuntu, from the package `prometheus`. It is unpacked but not installed, because an installation would start a
// server.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

function succeeds(command, args, options = {}) {
  return spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'], ...options }).status === 0;
}

function answers(tool) {
  return spawnSync(tool, ['--version']).status === 0;
}

/**
 * Returns the paths of both; undefined unless both run.
 *
 * @param {string} root
 * @returns {{ prometheus: string, promtool: string } | undefined}
 */
export function findPrometheus(root) {
  const onPath = { prometheus: 'prometheus', promtool: 'promtool' };
  if (Object.values(onPath).every(answers)) return onPath;
  const cache = join(root, 'node_modules', '.cache');
  const kept = {
    prometheus: join(cache, 'prometheus', 'prometheus'),
    promtool: join(cache, 'prometheus', 'promtool'),
  };
  if (Object.values(kept).every(answers)) return kept;
  if (!existsSync('/etc/debian_version')) return undefined;
  mkdirSync(dirname(kept.prometheus), { recursive: true });
  const folder = mkdtempSync(join(cache, 'prometheus-'));
  try {
    if (!unpack(folder)) return undefined;
    for (const [name, path] of Object.entries(kept)) renameSync(join(folder, 'usr', 'bin', name), path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return Object.values(kept).every(answers) ? kept : undefined;
}

/** @param {string} folder */
function unpack(folder) {
  // The folder belongs to root, and apt would otherwise download as the user nobody.
  const download = ['download', '-q', '-o', 'APT::Sandbox::User=root', 'prometheus'];
  const fetched = () => succeeds('apt-get', download, { cwd: folder });
  // A fresh machine has no package lists until `apt-get update`, which only root may run.
  if (!fetched() && !(succeeds('apt-get', ['update', '-q']) && fetched())) return false;
  const [archive = ''] = readdirSync(folder);
  return succeeds('dpkg-deb', ['--extract', archive, '.'], { cwd: folder });
}
