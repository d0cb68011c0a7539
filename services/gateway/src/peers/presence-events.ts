import type { Bus } from '@aegis/bus';
import { NodeKind } from '@aegis/contracts/aegis/events/v1/task';
import type { Logger } from '@aegis/service-kit';
import type { PresenceChange } from '../domain/presence.ts';
import type { TaskRef } from '../domain/task.ts';
import type { PresenceOut } from './contract.ts';

const kinds = { app: NodeKind.UNSPECIFIED, native: NodeKind.NATIVE, join: NodeKind.JOIN } as const;

/** Who is online, told on the bus: changes as they happen, a snapshot to everybody who asks. */
export class PresenceEvents implements PresenceOut {
  readonly #bus: Bus;
  readonly #gatewayId: string;
  readonly #asked: (() => void)[] = [];
  readonly #elsewhere: ((gatewayId: string, isSnapshot: boolean, changes: readonly PresenceChange[]) => void)[] = [];

  private constructor(bus: Bus, gatewayId: string) {
    this.#bus = bus;
    this.#gatewayId = gatewayId;
  }

  static async open(bus: Bus, gatewayId: string, log: Logger, signal: AbortSignal): Promise<PresenceEvents> {
    const events = new PresenceEvents(bus, gatewayId);
    const asks = await bus.subscribe('presence-ask', signal);
    const others = await bus.subscribe('presence', signal);
    const ended = (error: unknown) => {
      if (!signal.aborted) log.error({ err: error }, 'presence events ended');
    };
    events.#answerAsks(asks).catch(ended);
    events.#hearOthers(others).catch(ended);
    return events;
  }

  changed(changes: readonly PresenceChange[]): void {
    this.#publish(false, changes);
  }

  snapshot(online: readonly PresenceChange[]): void {
    this.#publish(true, online);
  }

  taskConfirmed({ taskId, runId, nodeId }: TaskRef): void {
    this.#bus.publish('task-confirmed', { taskId, runId, nodeId });
  }

  ask(): void {
    this.#bus.publish('presence-ask', {});
  }

  onAsked(answer: () => void): void {
    this.#asked.push(answer);
  }

  onElsewhere(listener: (gatewayId: string, isSnapshot: boolean, changes: readonly PresenceChange[]) => void): void {
    this.#elsewhere.push(listener);
  }

  #publish(snapshot: boolean, changes: readonly PresenceChange[]): void {
    const nodes = changes.map(({ nodeId, online, left, kind, unit, user, canMask }) => ({
      nodeId,
      online,
      kind: kinds[kind ?? 'app'],
      unit: unit ?? '',
      user: user ?? '',
      canMask: canMask ?? false,
      left: left ?? false,
    }));
    this.#bus.publish('presence', { gatewayId: this.#gatewayId, snapshot, nodes });
  }

  async #answerAsks(asks: AsyncIterable<unknown>): Promise<void> {
    for await (const _ask of asks) for (const answer of this.#asked) answer();
  }

  async #hearOthers(
    events: AsyncIterable<{
      message: { gatewayId: string; snapshot: boolean; nodes: { nodeId: bigint; online: boolean; left: boolean }[] };
    }>,
  ): Promise<void> {
    for await (const { message } of events) {
      if (message.gatewayId === this.#gatewayId) continue;
      for (const listener of this.#elsewhere) listener(message.gatewayId, message.snapshot, message.nodes);
    }
  }
}
