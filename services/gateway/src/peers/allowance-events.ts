import type { Bus } from '@aegis/bus';
import type { Logger } from '@aegis/service-kit';
import type { AllowancesPeer, SpentElsewhere } from './contract.ts';

/** What gateways tell each other of allowances, on the bus. */
export class AllowanceEvents implements AllowancesPeer {
  readonly #bus: Bus;
  readonly #gatewayId: string;

  private constructor(bus: Bus, gatewayId: string) {
    this.#bus = bus;
    this.#gatewayId = gatewayId;
  }

  /** `heard` of every other gateway's use, until `signal` aborts. */
  static async open(
    bus: Bus,
    gatewayId: string,
    { heard, log, signal }: { heard: (spent: readonly SpentElsewhere[]) => void; log: Logger; signal: AbortSignal },
  ): Promise<AllowanceEvents> {
    const events = await bus.subscribe('allowances-spent', signal);
    const listen = async (): Promise<void> => {
      for await (const { message } of events) if (message.gatewayId !== gatewayId) heard(message.spent);
    };
    listen().catch((err: unknown) => {
      if (!signal.aborted) log.error({ err }, 'what other gateways use of allowances is heard no more');
    });
    return new AllowanceEvents(bus, gatewayId);
  }

  spent(spent: readonly SpentElsewhere[]): void {
    this.#bus.publish('allowances-spent', { gatewayId: this.#gatewayId, spent: [...spent] });
  }
}
