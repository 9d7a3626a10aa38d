#!/usr/bin/env node
import { runCommandLine } from './cli/command-line.js';
import { VERSION } from './version.js';

// Whoever reads may have enough before we do, as `head` has.
process.stdout.on('error', () => process.exit(0));

process.exitCode = await runCommandLine(process.argv.slice(2), {
  env: process.env,
  version: VERSION,
  out: process.stdout,
  err: process.stderr,
  interrupted: () => {
    const interrupted = new AbortController();
    process.once('SIGINT', () => interrupted.abort());
    return interrupted.signal;
  },
});
