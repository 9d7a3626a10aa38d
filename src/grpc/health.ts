import { type ServerWritableStream, type sendUnaryData, status, type UntypedHandleCall } from '@grpc/grpc-js';
import { HealthImplementation, service } from 'grpc-health-check';
import { CoordinatorServiceClient } from './generated/dibs/v1/coordinator.js';
import type { OpenStreams } from './open-streams.js';
import type { GrpcService } from './server.js';

/** The whole process, and its one service. */
const NAMES = ['', CoordinatorServiceClient.serviceName];
/** Probes need no token, so what they name must cost nothing while their calls are open. */
const NAME_CHARACTERS_MAX = 256;

interface HealthRequest {
  readonly service: string;
}
type Check = (call: { readonly request: HealthRequest }, done: sendUnaryData<unknown>) => void;
type WatchStream = ServerWritableStream<HealthRequest, { readonly status: string }>;

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
    const { check, watch } = handlers as unknown as { check: Check; watch(call: WatchStream): void };
    this.service = {
      definition: service,
      implementation: {
        ...handlers,
        check: ((call, done) => {
          const refusal = refusalOf(call.request);
          if (refusal === undefined) check(call, done);
          else done(refusal);
        }) satisfies Check as UntypedHandleCall,
        watch: ((call: WatchStream) => {
          const refusal = refusalOf(call.request);
          if (refusal !== undefined) {
            call.emit('error', refusal);
            return;
          }
          streams.add(call);
          if (NAMES.includes(call.request.service)) watch(call);
          // The package would keep each name that was watched, and never drop one.
          else call.write({ status: 'SERVICE_UNKNOWN' });
        }) as UntypedHandleCall,
      },
    };
  }

  setServing(serving: boolean): void {
    for (const name of NAMES) this.#implementation.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING');
  }
}

/** Why a request is refused. A refusal does not repeat the name. */
function refusalOf({
  service,
}: HealthRequest): { readonly code: status; readonly details: string } | undefined {
  if (service.length <= NAME_CHARACTERS_MAX) return undefined;
  const details = `service: ${service.length} characters is outside 0 to ${NAME_CHARACTERS_MAX}`;
  return { code: status.INVALID_ARGUMENT, details };
}
