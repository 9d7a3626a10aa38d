/**
 * The lines that operators search for. Each begins with what happened, then says why, then what to do. The pages in
 * deploy/operations quote them, and a test compares.
 */
export const LOG = {
  degraded: 'degraded: quorum or store unavailable',
  recovered: 'recovered: quorum and store available',
  storeLate: 'store late: waiting for its reply, and granting no lease meanwhile',
  storeInTime: 'recovered: the store answers in time',
  undecided: 'undecided: no lease was granted for a while; see why',
  decided: 'recovered: leases are granted again',
  storeIsLockNode: 'value store is a lock node too: they fail together; give the value store its own Redis',
  publishSuperseded: 'publish refused: a newer lease was granted, because the rebuild took too long',
  publishUnknownLease: 'publish refused: the store has no record of the lease and may have lost data',
  publishWithoutStore: 'publish not stored: its lease was granted without the store',
  publishRefusedByStore: 'publish not stored: the store cannot be reached, or it refuses; see why',
  publishReplyLost: 'publish perhaps not stored: the reply of the store was lost; see why',
  publishUnanswered:
    'publish not stored in time: its caller has stopped waiting, and the store may still store it',
  leaseExpired: 'lease expired: its holder did not publish in time',
  leaseLostWithSession: 'lease ended: the session of its holder ended',
  overloaded: 'overloaded: refusing new waiters',
  keepingUp: 'recovered: accepting new waiters',
  lockNodeVoting: 'lock node is voting',
  lockNodeNotVoting: 'lock node is not voting',
  policiesReloaded: 'reloaded: DIBS_CONFIG',
  policiesKept: 'not reloaded: the configuration has faults; keeping the old policies',
  quorumWaits:
    'starting without a majority of lock nodes: those that answer may have forgotten leases, so they wait before they vote; at a first start, all of them must answer',
  storeSilent: 'starting without the value store: it does not answer yet',
  storeUnreachable: 'value store unreachable',
  storeRefuses: 'value store refuses: it answers, but cannot serve',
  storeForeignKey:
    'value store has a foreign key: another program wrote under a key name that belongs to Dibs; delete that key',
  wakesUnheard:
    'wakes not heard: the value store serves, but the subscription to it fails; waiters poll, and near caches serve nothing as fresh; see why',
  wakesHeard: 'recovered: wakes are heard again',
  linksHidden:
    'links of the cluster are not shown: if a link breaks for less than half a second, lost wakes go unnoticed; allow +cluster|myid +cluster|links',
  storeTooNew: 'value store refused: a later version has written to it; upgrade this replica',
  unknownVariable: 'unknown variable: it has no effect; correct its name, or remove it',
  embeddedBeyondLoopback:
    'embedded mode, reachable from other machines: a second replica would grant the same leases again; set DIBS_QUORUM_NODES and DIBS_STORE_URL, unless this is the only replica',
  otlpMismatch:
    'OTLP port and protocol do not match: 4317 usually speaks grpc, and 4318 http/protobuf, and grpc without a port goes to 443; change the endpoint or OTEL_EXPORTER_OTLP_PROTOCOL',
  certificatesWithoutAuthority:
    'DIBS_AUTH_FILE names client certificates, but DIBS_TLS_CA is not set: no client is asked for one; set DIBS_TLS_CA',
  workersShare:
    'starting workers: each is a replica of its own, with a core, connections to Redis, and its share of the bounds',
  workerEnded:
    'worker ended: it is started again after a pause, and the other workers continue; see its own last lines',
  workerServes: 'recovered: the worker serves again',
  workerSilent: 'worker silent: its event loop was blocked for too long, so it is killed and started again',
  linesLost: 'log lines lost: the disk was full, or the reader was slow; give the log more room',
  otelProblem: 'OpenTelemetry reports a problem: traces or metrics may be lost; see message',
  libraryWarned: 'a library printed a warning; its text is left out unless it is known to be safe',
  connectionRefused:
    'connection refused: its address has too many connections, refused calls or requests; see why',
  certificateEndsSoon:
    'certificate ends soon: no client accepts it after that; renew the file of the variable',
  certificateEnded: 'certificate has ended: no client accepts it any more; renew the file of the variable',
  handshakeFailed: 'handshake failed: the TLS settings of a client do not match; see why',
  auditInvalidated: 'audit: invalidated',
  auditDenied: 'audit: permission denied',
  auditUnauthenticated: 'audit: authentication failed',
} as const;
