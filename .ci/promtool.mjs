// `promtool`, which checks alert rules as Prometheus reads them and plays their tests. The one on the PATH; on Debian and
// Ubuntu else the one in the package `prometheus`, unpacked and not installed: installed it would start a server.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

function succeeds(command, args, options = {}) {
  return spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'], ...options }).status === 0;
}

function answers(promtool) {
  return spawnSync(promtool, ['--version']).status === 0;
}

/** The path of a promtool that runs; undefined if there is none and none can be had. */
export function findPromtool(root) {
  if (answers('promtool')) return 'promtool';
  const cache = join(root, 'node_modules', '.cache');
  const kept = join(cache, 'promtool');
  if (answers(kept)) return kept;
  if (!existsSync('/etc/debian_version')) return undefined;
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, 'prometheus-'));
  try {
    if (!unpack(folder)) return undefined;
    renameSync(join(folder, 'usr', 'bin', 'promtool'), kept);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return answers(kept) ? kept : undefined;
}

function unpack(folder) {
  // The folder is root's, and apt would rather download as nobody.
  const download = ['download', '-q', '-o', 'APT::Sandbox::User=root', 'prometheus'];
  const fetched = () => succeeds('apt-get', download, { cwd: folder });
  // A fresh machine knows of no package until it has asked, which only root may.
  if (!fetched() && !(succeeds('apt-get', ['update', '-q']) && fetched())) return false;
  const [archive = ''] = readdirSync(folder);
  return succeeds('dpkg-deb', ['--extract', archive, '.'], { cwd: folder });
}
