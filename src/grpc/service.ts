import type { MethodDefinition, UntypedHandleCall } from '@grpc/grpc-js';
import type { AnyRow, Edge } from './answer.js';
import { CALLS } from './calls.js';
import { gathered } from './gather.js';
import {
  CoordinatorServiceService as contract,
  SessionRequest,
  SessionResponse,
} from './generated/dibs/v1/coordinator.js';
import { many } from './many.js';
import type { GrpcService } from './server.js';
import type { SessionStream, Sessions } from './session/sessions.js';
import { SESSION_PARTS_MAX, strict } from './strict-codec.js';
import { unary } from './unary.js';

/** The contract's service. Each call uses the carrier that its definition needs. */
export function coordinatorService(edge: Edge, sessions: Pick<Sessions, 'serve'>): GrpcService {
  const definition: Record<string, GrpcService['definition'][string]> = {
    session: strict(gathered(contract.session, SessionResponse), SessionRequest, SESSION_PARTS_MAX),
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
