import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { endWithThisProcess } from './end-with-this-process.js';

/** What an attack managed to open. */
export interface Flooded {
  readonly opened: number;
  readonly connected: number;
}

/** Attacks a replica for `ms` from a separate process, so that this one is free to measure. */
export async function flood(
  target: string,
  kind: 'calls' | 'probes' | 'resets',
  connections: number,
  ms: number,
): Promise<Flooded> {
  const args = ['test/support/flood.mjs', target, kind, String(connections), String(ms)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  endWithThisProcess(child);
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`the flood ended with code ${code}`);
  return JSON.parse(output);
}
