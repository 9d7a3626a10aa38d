import { Script } from './script.js';

export const lockAcquireScript = new Script('lock-acquire', {
  keys: ['lock', 'marker'],
  args: ['nonce', 'ttl_ms', 'run'],
});

export const lockExtendScript = new Script('lock-extend', {
  keys: ['lock', 'marker'],
  args: ['nonce', 'ttl_ms', 'run'],
});

export const lockReleaseScript = new Script('lock-release', { keys: ['lock'], args: ['nonce'] });

export const lockRecallScript = new Script('lock-recall', {
  keys: ['marker', 'wait'],
  args: ['run', 'lease_ms_max'],
});

export const lockMarkScript = new Script('lock-mark', {
  keys: ['marker', 'wait'],
  args: ['run', 'since', 'first_start'],
});
