import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Replica } from '../support/replica.js';
import type { Language } from './adapters.js';

const run = promisify(execFile);

/** The examples, which are the same in every language, with the output of each. */
const EXAMPLES = {
  start: 'Ada\n',
  'rebuild-once': 'Ada and Ada after 1 query\n',
  'stale-while-revalidate': 'page 1, then page 1 at once, then page 2\n',
  'invalidate-on-write': '10, then 12\n',
};

/** Runs the examples of a language unchanged, on a new service. Returns the wrong outputs. */
export async function runExamples({ name, command }: Language): Promise<string[]> {
  const [program] = command;
  const replica = await Replica.start();
  const wrong: string[] = [];
  try {
    for (const [example, expected] of Object.entries(EXAMPLES)) {
      const env = { ...process.env, DIBS_TARGET: replica.target };
      const { stdout, stderr } = await run(program, ['example', example], { env, timeout: 60_000 }).catch(
        (error: { stdout: string; stderr: string }) => error,
      );
      if (stdout !== expected)
        wrong.push(`${name}, ${example}: printed ${JSON.stringify(stdout)}\n${stderr}`);
    }
  } finally {
    await replica.kill();
  }
  return wrong;
}
