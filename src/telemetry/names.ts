import type { Facts, SpanName } from '../coordination/words/trace.js';

/** Every metric, as Prometheus prints it. Dashboards and alerts rely on these names. */
export const METRICS = {
  getOrLock: 'dibs_get_or_lock_total',
  wait: 'dibs_wait_seconds',
  waiters: 'dibs_waiters',
  waitersMax: 'dibs_waiters_max',
  longestWait: 'dibs_longest_wait_seconds',
  leasesHeld: 'dibs_leases_held',
  rebuild: 'dibs_rebuild_seconds',
  publish: 'dibs_publish_total',
  quorumVote: 'dibs_quorum_vote_seconds',
  quorumNodes: 'dibs_quorum_nodes',
  quorumNodeState: 'dibs_quorum_node_state',
  rebuildsSaved: 'dibs_rebuilds_saved_total',
  degraded: 'dibs_degraded',
  undecided: 'dibs_undecided',
  storeLate: 'dibs_store_late',
  wakesLive: 'dibs_wakes_live',
  storeSteps: 'dibs_store_steps_total',
  callErrors: 'dibs_call_errors_total',
  connectionsRefused: 'dibs_connections_refused_total',
  info: 'dibs_info',
  sharedSetting: 'dibs_shared_setting_seconds',
  certificateEnd: 'dibs_certificate_expiration_timestamp_seconds',
  reloadRefused: 'dibs_reload_refused',
  nearCacheBytes: 'dibs_near_cache_bytes',
  spans: 'dibs_spans_total',
} as const;

/** Only with DIBS_WORKERS of more than 1. */
export const WORKER_METRICS = {
  workers: 'dibs_workers',
  workerRestarts: 'dibs_worker_restarts_total',
} as const;

/** Every label of a metric. */
export const LABELS = {
  namespace: 'namespace',
  outcome: 'outcome',
  endedBy: 'ended_by',
  node: 'node',
  vote: 'vote',
  state: 'state',
  mode: 'mode',
  step: 'step',
  ended: 'ended',
  method: 'method',
  code: 'code',
  protocol: 'protocol',
  why: 'why',
  group: 'group',
  version: 'version',
  variable: 'variable',
} as const;

/** The `namespace` label of all namespaces beyond the bound. */
export const OTHER_NAMESPACES = 'other';

/** Every span except those of the calls, which are named by their method. */
export const SPANS = {
  look: 'dibs.look',
  acquire: 'dibs.acquire',
  vote: 'dibs.vote',
  arm: 'dibs.arm',
  wait: 'dibs.wait',
  lease: 'dibs.lease',
  publish: 'dibs.publish',
} as const satisfies Record<SpanName, string>;

/** Every attribute of a span. OpenTelemetry's semantic conventions name those of RPCs. */
export const ATTRIBUTES = {
  namespace: 'dibs.namespace',
  /** Only if the namespace's `keys_in_traces` is `clear`. */
  key: 'dibs.key',
  /** The first 16 hexadecimal digits of the SHA-256 of namespace, a zero byte and key. */
  keyHash: 'dibs.key.hash',
  outcome: 'dibs.outcome',
  degraded: 'dibs.degraded',
  late: 'dibs.store.late',
  found: 'dibs.found',
  ballot: 'dibs.ballot',
  node: 'dibs.node',
  vote: 'dibs.vote',
  armed: 'dibs.armed',
  endedBy: 'dibs.wait.ended_by',
  position: 'dibs.wait.position',
  holder: 'dibs.lease.holder',
  reason: 'dibs.lease.reason',
  leaseEnd: 'dibs.lease.end',
  fence: 'dibs.fence',
  servedHere: 'dibs.served_here',
  rpcSystem: 'rpc.system.name',
  rpcMethod: 'rpc.method',
  rpcStatus: 'rpc.response.status_code',
  errorType: 'error.type',
} as const satisfies Record<keyof Facts, string> & Record<string, string>;
