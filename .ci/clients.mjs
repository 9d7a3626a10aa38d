// The stages of the clients in other languages: generate and compare, build, check and test.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cannotRun, countsOf, FAILED, root, runKeeping } from './commands.mjs';

/** The commands that each client needs. */
const PROBES = {
  go: ['go', 'version'],
  python: ['python3', '-c', 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))'],
  java: ['mvn', '--version'],
  rust: ['cargo', '--version'],
};

export const LANGUAGES = Object.keys(PROBES).filter((language) =>
  existsSync(join(root, 'clients', language, 'tasks.sh')),
);

function hashesUnder(folder) {
  const list = ['ls-files', '-co', '--exclude-standard', folder];
  const { stdout } = spawnSync('git', list, { cwd: root, encoding: 'utf8' });
  const paths = stdout.split('\n').filter((path) => path !== '' && existsSync(join(root, path)));
  const hashOf = (path) =>
    createHash('sha256')
      .update(readFileSync(join(root, path)))
      .digest('hex');
  return paths.map((path) => `${path} ${hashOf(path)}`);
}

export async function client(language, out) {
  const [command, ...probe] = PROBES[language];
  if (spawnSync(command, probe).status !== 0)
    return cannotRun(`the ${language} client: there is no ${command}`, out);
  const folder = `clients/${language}`;
  const task = (name) => runKeeping(`${folder}/tasks.sh`, [name], out);
  const before = hashesUnder(folder);
  if ((await task('generate')).code !== 0) return FAILED;
  const changed = hashesUnder(folder).filter((file) => !before.includes(file));
  for (const file of changed) {
    out.write(`${file.split(' ')[0]} is not what \`${folder}/tasks.sh generate\` writes\n`);
  }
  if (changed.length > 0) return FAILED;
  if ((await task('build')).code !== 0) return FAILED;
  const { code, output } = await task('test');
  return countsOf(output, code);
}
