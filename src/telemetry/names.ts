/** Every metric, as Prometheus prints it. Dashboards and alerts rely on these names. */
export const METRICS = {
  getOrLock: 'dibs_get_or_lock_total',
  wait: 'dibs_wait_seconds',
  waiters: 'dibs_waiters',
  leasesHeld: 'dibs_leases_held',
  rebuild: 'dibs_rebuild_seconds',
  publish: 'dibs_publish_total',
  quorumVote: 'dibs_quorum_vote_seconds',
  quorumNodes: 'dibs_quorum_nodes',
  rebuildsSaved: 'dibs_rebuilds_saved_total',
  degraded: 'dibs_degraded',
  nearCacheBytes: 'dibs_near_cache_bytes',
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
} as const;

/** What stands in a `namespace` label where there are more namespaces than are told apart. */
export const OTHER_NAMESPACES = 'other';
