import { AegisError } from '@aegis/errors';
import type { NodeCredential } from '@aegis/flower-wire';
import type { FlowerFleet } from '../../services/gateway/src/api/flower/fleet.ts';
import { toPem } from '../../services/gateway/src/domain/public-key.ts';
import { within } from './calls.ts';
import type { GatewayProcess } from './gateway.ts';
import type { Life } from './life.ts';
import type { World } from './world.ts';

const CALL_MS = 60_000;

/** A node's way to a gateway, and what can go wrong on it. */
export class NodeLink {
  readonly publicKey: Buffer;
  gatewayIndex = 0;
  isCut = false;
  /** The next call does not arrive, or its answer does not. */
  loses: 'request' | 'answer' | null = null;
  /** Who gave the last answer. */
  answeredBy: GatewayProcess | null = null;
  private readonly world: World;
  private calls = 0;

  constructor(world: World, index: number) {
    this.world = world;
    this.publicKey = publicKeyOf(index);
  }

  /** One call of a node; UNAVAILABLE or DEADLINE when no answer comes back, whatever became of the request. */
  async call<T>(life: Life, work: (fleet: FlowerFleet, who: NodeCredential) => Promise<T>): Promise<T> {
    const { loses } = this;
    this.loses = null;
    await life.gate();
    const { gateways } = this.world;
    const gateway = gateways[this.gatewayIndex % gateways.length];
    const fleet = gateway?.fleet;
    if (gateway === undefined || fleet === null || fleet === undefined || gateway.life.isDead || this.isCut) {
      throw new AegisError('UNAVAILABLE', 'The gateway cannot be reached.');
    }
    if (loses === 'request') throw new AegisError('UNAVAILABLE', 'The request was lost.');
    const who: NodeCredential = {
      publicKeyPem: this.publicKey,
      timestamp: this.timestamp(),
      signature: Buffer.alloc(0),
      dialect: 'http',
      flwrVersion: '1.41.0',
      connection: this,
      isForwarded: () => false,
    };
    const answer = gateway.life.serve(() => work(fleet, who));
    const result = await within(answer, life, CALL_MS).finally(async () => {
      await life.gate();
      this.answeredBy = gateway;
    });
    if (loses === 'answer' || this.isCut) throw new AegisError('UNAVAILABLE', 'The answer was lost.');
    return result;
  }

  /** No two calls of a node are made at the same microsecond. */
  private timestamp(): string {
    this.calls += 1;
    const micros = String(this.calls % 1000).padStart(3, '0');
    return new Date(this.world.clock.now()).toISOString().replace('Z', `${micros}Z`);
  }
}

/** Has the form of a P-256 key; signatures are not checked here. */
const publicKeyOf = (index: number): Buffer => {
  const head = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex');
  return Buffer.from(toPem(Buffer.concat([head, Buffer.from([4]), Buffer.alloc(64, index + 1)])));
};
