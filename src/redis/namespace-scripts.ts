import { Script } from './script.js';

const hash = ['namespace'] as const;
const slots = ['slots'] as const;

export const readNamespaceScript = new Script('namespace-read', {
  keys: hash,
  args: ['fresh_id', 'tags', 'took_us'],
});

export const invalidateNamespaceScript = new Script('namespace-invalidate', {
  keys: hash,
  args: ['fresh_id', 'tags', 'mode', 'stamps_max', 'channel', 'name'],
});

export const enterScript = new Script('slots-enter', {
  keys: slots,
  args: ['slot', 'max', 'ttl_ms', 'ttl_ms_max'],
});

export const keepScript = new Script('slots-keep', { keys: slots, args: ['slot', 'as', 'ttl_ms'] });

export const leaveScript = new Script('slots-leave', { keys: slots, args: ['slot', 'channel', 'name'] });
