import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { endWithThisProcess } from '../support/end-with-this-process.js';
import type { AnyRow, Bench } from './bench.js';

/**
 * Large values through a link of 1 Gbit/s, in separate network namespaces, so the machine's own network is unchanged.
 */
export const link: Bench = {
  name: 'link',
  async run(): Promise<AnyRow[]> {
    if (spawnSync('unshare', ['-n', 'sh', '-c', 'ip link && tc qdisc']).status !== 0) {
      console.log('  left out: it needs Linux, root, and the commands unshare, ip and tc\n');
      return [];
    }
    const program = fileURLToPath(new URL('./link-inside.js', import.meta.url));
    const child = spawn('unshare', ['-n', process.execPath, program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    endWithThisProcess(child);
    const rows: AnyRow[] = [];
    for await (const line of createInterface({ input: child.stdout })) rows.push(JSON.parse(line) as AnyRow);
    if (rows.length === 0) throw new Error('the program in the namespace measured nothing');
    return rows;
  },
};
