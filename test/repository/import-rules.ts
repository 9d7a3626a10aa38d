/**
 * Who may import whom, and where each library stays: the one place that says so. `imports.test.ts` holds every file
 * of `src` to it.
 *
 *     main → app → { grpc, http, access, config, telemetry, redis, memory, quorum } → coordination
 *     main → main-process → { workers, http, access, config, telemetry }; worker → { app, workers }
 *     cli.ts → cli → the generated code of the contract
 */
export interface Room {
  /** Rooms, or single files, whose values it may import besides its own. Types of the ports come on top. */
  readonly imports: readonly string[];
  /** `node:` stands for Node's own modules; a name that ends with `/` for everything under it. */
  readonly packages: readonly string[];
}

/** By the first folder below `src`. */
export const ROOMS: Readonly<Record<string, Room>> = {
  // The domain: every decision, and no I/O.
  coordination: { imports: [], packages: [] },
  // What a peer is, and its shares, are the same for both protocols.
  grpc: {
    imports: ['coordination', 'access/peer', 'access/shares'],
    packages: ['node:', '@grpc/', '@bufbuild/protobuf', '@bufbuild/protobuf/', 'grpc-health-check'],
  },
  http: {
    imports: ['coordination', 'access/loopback', 'access/peer', 'access/shares'],
    packages: ['node:'],
  },
  access: { imports: ['coordination'], packages: ['node:'] },
  // Of `access` the names of the permissions, which stand in the file that it reads, and what is loopback.
  config: { imports: ['coordination', 'access'], packages: ['node:', 'yaml', 'zod'] },
  redis: { imports: ['coordination'], packages: ['node:', 'ioredis'] },
  quorum: { imports: ['coordination'], packages: ['node:', 'redlock'] },
  memory: { imports: ['coordination'], packages: [] },
  telemetry: { imports: ['coordination'], packages: ['node:', '@opentelemetry/', 'pino'] },
  // What listens frees a path for its socket as a server does that listens itself.
  workers: { imports: ['grpc/unix-socket'], packages: ['node:'] },
  // A client of the service, also of other versions of it: it knows the contract and no room.
  cli: {
    imports: ['doctor/finding', 'grpc/generated/dibs/v1/coordinator'],
    packages: ['node:', '@grpc/grpc-js'],
  },
  // It connects what `app.ts` connects, to look at it: the code that it tries is the one that serves.
  doctor: { imports: ['config', 'coordination', 'memory', 'redis'], packages: ['node:'] },
};

/** The rooms of the domain from the ground up: each imports, types included, only from those before it. */
export const DOMAIN: readonly string[] = ['words', 'ports', 'degradation', 'reading', 'leasing', 'waiting'];

/** Files directly in `src`. The others are the composition root: they know every room, and no library. */
export const FILES: Readonly<Record<string, Room>> = {
  main: { imports: ['app', 'config', 'fatal', 'main-process'], packages: ['node:'] },
  worker: { imports: ['app', 'config', 'edges', 'fatal', 'telemetry', 'workers'], packages: ['node:'] },
  fatal: { imports: ['config/faults'], packages: ['node:'] },
  cli: { imports: ['cli', 'doctor', 'version'], packages: ['node:'] },
};

/** What any room but coordination and cli may `import type` from: what rooms ask of each other, and what is configured. */
export const PORTS: readonly string[] = [
  'access/guard',
  'access/identity',
  'config/otel-environment',
  'config/store-url',
  'config/tls-files',
  'quorum/lock-node',
  'quorum/quorum-observer',
];
