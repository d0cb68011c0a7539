import type { Holder } from '../domain/holder.ts';
import type { Register } from './contract.ts';

/** For tests, and for reading what the contract means. */
export class MemoryRegister implements Register {
  readonly #holders = new Map<string, Holder>();

  of(name: string): Holder | null {
    return this.#holders.get(name) ?? null;
  }

  all(): Holder[] {
    return [...this.#holders.values()];
  }

  write(holder: Holder): void {
    this.#holders.set(holder.name, holder);
  }

  close(): void {}
}
