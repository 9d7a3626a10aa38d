#!/usr/bin/env node
import { runCommandLine } from './cli/command-line.js';
import { VERSION } from './version.js';

// With it, ioredis would print passwords.
delete process.env.DEBUG;

// The reader may close the pipe early, as `head` does.
process.stdout.on('error', () => process.exit(0));

process.exitCode = await runCommandLine(process.argv.slice(2), {
  env: process.env,
  version: VERSION,
  out: process.stdout,
  err: process.stderr,
  // Loaded only when it is needed: the other commands know no Redis.
  diagnose: async (env) => (await import('./doctor.js')).runDiagnosis(env),
  interrupted: () => {
    const interrupted = new AbortController();
    process.once('SIGINT', () => interrupted.abort());
    return interrupted.signal;
  },
});
