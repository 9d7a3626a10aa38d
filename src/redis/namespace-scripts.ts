import { GatheredScript, Script } from './script.js';

const hash = ['namespace'] as const;
const hashAndOrder = ['namespace', 'order'] as const;
const slots = ['slots'] as const;

export const beginNamespaceScript = new Script('namespace-begin', {
  keys: hashAndOrder,
  args: ['fresh_id', 'keep_ms'],
});

export const readNamespaceScript = new GatheredScript('namespace-read', {
  keys: hash,
  args: ['tags', 'took_us'],
});

export const invalidateNamespaceScript = new Script('namespace-invalidate', {
  keys: hashAndOrder,
  args: ['fresh_id', 'tags', 'mode', 'stamps_max', 'marks_max', 'keep_ms', 'channel', 'name'],
});

export const enterScript = new Script('slots-enter', {
  keys: slots,
  args: ['slot', 'max', 'ttl_ms', 'ttl_ms_max'],
});

export const keepScript = new Script('slots-keep', { keys: slots, args: ['slot', 'as', 'ttl_ms'] });

export const leaveScript = new Script('slots-leave', { keys: slots, args: ['slot', 'channel', 'name'] });
