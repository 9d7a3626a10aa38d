import type { MethodDefinition, UntypedHandleCall } from '@grpc/grpc-js';
import type { AnyRow, Edge } from './answer.js';
import { decodeSession } from './by-hand/decode-session.js';
import { encodeSession } from './by-hand/encode-session.js';
import { CALLS } from './calls.js';
import { gathered } from './gather.js';
import {
  CoordinatorServiceService as contract,
  type SessionResponse,
} from './generated/dibs/v1/coordinator.js';
import { many } from './many.js';
import type { GrpcService } from './server.js';
import type { SessionStream, Sessions } from './session/sessions.js';
import { strict } from './strict-codec.js';
import { unary } from './unary.js';

/** The contract's service. Each call uses the carrier that its definition needs. */
export function coordinatorService(edge: Edge, sessions: Pick<Sessions, 'serve'>): GrpcService {
  const definition: Record<string, GrpcService['definition'][string]> = {
    session: {
      ...strict(contract.session, decodeSession),
      responseSerialize: encodeSession as (message: SessionResponse) => Buffer,
    },
  };
  const implementation: Record<string, UntypedHandleCall> = {
    session: (stream: SessionStream) => sessions.serve(stream),
  };
  for (const [name, row] of Object.entries<AnyRow>(CALLS)) {
    const { answerType } = row;
    const plain = contract[name as keyof typeof CALLS] as MethodDefinition<unknown, unknown>;
    const method = answerType === undefined ? plain : gathered(plain, answerType);
    const carrier = method.responseStream ? many(row, method, edge) : unary(row, method, edge);
    definition[name] = carrier.definition;
    implementation[name] = carrier.handler;
  }
  return { definition, implementation };
}
