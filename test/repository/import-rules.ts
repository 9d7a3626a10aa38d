/**
 * The table of allowed imports, between rooms and of libraries. `imports.test.ts` compares every file of `src` with it.
 *
 *     main → app → { grpc, http, access, config, telemetry, redis, memory, quorum } → coordination
 *     main → main-process → { workers, http, access, config, telemetry }; worker → { app, workers }
 *     cli.ts → cli → the generated code of the contract
 */
export interface Room {
  /** Other rooms, or single files, whose values it can import. It can also import types of the ports. */
  readonly imports: readonly string[];
  /** `node:` means all modules of Node. A name that ends with `/` means everything under it. */
  readonly packages: readonly string[];
}

/** The rules of each room, which is the first folder below `src`. */
export const ROOMS: Readonly<Record<string, Room>> = {
  // The domain: all decisions, without I/O.
  coordination: { imports: [], packages: [] },
  // Peers, their shares and their rates are the same for both protocols.
  grpc: {
    imports: [
      'coordination',
      'access/address-rates',
      'access/held-off',
      'access/new-connections',
      'access/peer',
      'access/shares',
    ],
    packages: ['node:', '@grpc/', '@bufbuild/protobuf', '@bufbuild/protobuf/', 'grpc-health-check'],
  },
  http: {
    imports: [
      'coordination',
      'access/address-rates',
      'access/held-off',
      'access/loopback',
      'access/new-connections',
      'access/peer',
      'access/shares',
    ],
    packages: ['node:'],
  },
  access: { imports: ['coordination'], packages: ['node:'] },
  // From `access`: the names of the permissions in the file that it reads, and what is loopback.
  config: { imports: ['coordination', 'access'], packages: ['node:', 'yaml', 'zod'] },
  redis: { imports: ['coordination'], packages: ['node:', 'ioredis'] },
  quorum: { imports: ['coordination'], packages: ['node:', 'redlock'] },
  memory: { imports: ['coordination'], packages: [] },
  telemetry: { imports: ['coordination'], packages: ['node:', '@opentelemetry/', 'pino'] },
  // The listening process takes its addresses, and frees the path of its Unix socket, as a server does.
  workers: { imports: ['grpc/each-address', 'grpc/unix-socket'], packages: ['node:'] },
  // A client of the service and of its other versions: it knows the contract, and of a room what no error may repeat.
  cli: {
    imports: ['config/faults', 'doctor/finding', 'grpc/generated/dibs/v1/coordinator'],
    packages: ['node:', '@grpc/grpc-js'],
  },
  // It connects the same parts as `app.ts`, so it examines the code that serves.
  doctor: { imports: ['config', 'coordination', 'memory', 'redis'], packages: ['node:'] },
};

/** The rooms of the domain, from the lowest: each imports only from the rooms before it, types included. */
export const DOMAIN: readonly string[] = ['words', 'ports', 'degradation', 'reading', 'leasing', 'waiting'];

/** Files directly in `src`. Those not listed are the composition root: they know every room, and no library. */
export const FILES: Readonly<Record<string, Room>> = {
  main: { imports: ['app', 'config', 'fatal', 'main-process', 'reload-requests'], packages: ['node:'] },
  worker: {
    imports: ['app', 'config', 'edges', 'fatal', 'reload-requests', 'telemetry', 'workers'],
    packages: ['node:'],
  },
  fatal: { imports: ['config/faults'], packages: ['node:'] },
  cli: { imports: ['cli', 'doctor', 'version'], packages: ['node:'] },
};

/** Files of which all rooms but coordination and cli can `import type`: ports between rooms, and configuration. */
export const PORTS: readonly string[] = [
  'access/guard',
  'access/identity',
  'config/otel-environment',
  'config/store-url',
  'config/tls-files',
  'quorum/lock-node',
  'quorum/quorum-observer',
];
