import { Script } from './script.js';

export const lockTakeScript = new Script('lock-take', {
  keys: ['marker'],
  args: ['run', 'prefix', 'steps'],
});

export const lockFreeScript = new Script('lock-free', { keys: [], args: ['prefix', 'steps'] });

export const lockRecallScript = new Script('lock-recall', {
  keys: ['marker', 'wait'],
  args: ['run', 'lease_ms_max'],
});

export const lockMarkScript = new Script('lock-mark', {
  keys: ['marker', 'wait'],
  args: ['run', 'since', 'first_start'],
});
