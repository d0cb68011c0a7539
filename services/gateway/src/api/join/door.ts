import { AegisError } from '@aegis/errors';
import { JOIN_PATH } from '@aegis/flower-wire';
import type { Server, ServerDuplexStream, ServiceDefinition } from '@grpc/grpc-js';
import type { StreamRules } from '../grpc-frames.ts';
import type { JoinParts } from './parts.ts';
import { FIRST_LIMIT, JoinSession, statusOf } from './session.ts';

/** `join` of the gateway's configuration. */
export interface JoinRules {
  readonly offered: boolean;
}

const NOT_OFFERED =
  'start_client is not let in: the operator must set `join: true` (aegis up --join) with open enrolment, or nodes run flower-supernode.';

/** Flower's FlowerService/Join. Where it is not offered, the client reads why. */
export class JoinDoor {
  readonly #parts: JoinParts;
  readonly #rules: JoinRules;
  readonly #live = new Set<JoinSession>();

  constructor(parts: JoinParts, rules: JoinRules) {
    this.#parts = parts;
    this.#rules = rules;
  }

  get size(): number {
    return this.#live.size;
  }

  /** Of the messages of one stream; a large one waits for its turn, unread. */
  admission(): StreamRules {
    return {
      firstLimit: FIRST_LIMIT,
      enter: (peer) =>
        void this.#parts.gateway.admission.arrives('enrolment', { address: peer.replace(/:\d{1,5}$/, '') }),
      admit: (announced) => this.#parts.turns.take(announced),
      refuse: (error, peer) => this.#refusal(error, peer),
    };
  }

  addTo(server: Server): void {
    const definition = { path: JOIN_PATH, requestStream: true, responseStream: true, ...bytes };
    server.addService({ join: definition } as ServiceDefinition, {
      join: (call: ServerDuplexStream<Buffer, Buffer>) => this.#join(call),
    });
  }

  #join(call: ServerDuplexStream<Buffer, Buffer>): void {
    if (!this.#rules.offered) {
      const error = new AegisError('METHOD_NOT_OFFERED', NOT_OFFERED);
      call.emit('error', this.#refusal(error, call.getPeer().replace(/:\d{1,5}$/, '')));
      return;
    }
    const session = new JoinSession(this.#parts, call);
    this.#live.add(session);
    session
      .run()
      .catch((err: unknown) => this.#parts.gateway.log.error({ err }, 'a Join stream ended badly'))
      .finally(() => this.#live.delete(session));
  }

  #refusal(error: AegisError, peer: string): { code: number; details: string } {
    this.#parts.counted.refused('join', error, { path: JOIN_PATH, status: undefined, peer });
    return statusOf(error);
  }
}

const same = (message: Buffer): Buffer => message;
const bytes = { requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same };
