// Prometheus, and `promtool`, which checks alert rules as Prometheus reads them and plays their tests. Those on the PATH; on
// Debian and Ubuntu else those in the package `prometheus`, unpacked and not installed: installed it would start a server.
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
 * The paths of both, if both run; undefined if there are none and none can be had.
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
  // The folder is root's, and apt would rather download as nobody.
  const download = ['download', '-q', '-o', 'APT::Sandbox::User=root', 'prometheus'];
  const fetched = () => succeeds('apt-get', download, { cwd: folder });
  // A fresh machine knows of no package until it has asked, which only root may.
  if (!fetched() && !(succeeds('apt-get', ['update', '-q']) && fetched())) return false;
  const [archive = ''] = readdirSync(folder);
  return succeeds('dpkg-deb', ['--extract', archive, '.'], { cwd: folder });
}
