import type { ServerWritableStream, UntypedHandleCall } from '@grpc/grpc-js';
import { HealthImplementation, service } from 'grpc-health-check';
import { CoordinatorServiceClient } from './generated/dibs/v1/coordinator.js';
import type { OpenStreams } from './open-streams.js';
import type { GrpcService } from './server.js';

/** The whole process, and its one service. */
const NAMES = ['', CoordinatorServiceClient.serviceName];

/** `grpc.health.v1.Health`: serving only between the start and a drain. */
export class Health {
  readonly service: GrpcService;
  readonly #implementation = new HealthImplementation(
    Object.fromEntries(NAMES.map((name) => [name, 'NOT_SERVING'])),
  );

  constructor(streams: OpenStreams) {
    let handlers: Record<string, UntypedHandleCall> = {};
    this.#implementation.addToServer({
      addService: (_definition: unknown, implementation: Record<string, UntypedHandleCall>) => {
        handlers = implementation;
      },
    });
    const { watch } = handlers as { watch: (call: ServerWritableStream<unknown, unknown>) => void };
    this.service = {
      definition: service,
      implementation: {
        ...handlers,
        watch: (call: ServerWritableStream<unknown, unknown>) => {
          streams.add(call);
          watch(call);
        },
      },
    };
  }

  setServing(serving: boolean): void {
    for (const name of NAMES) this.#implementation.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING');
  }
}
