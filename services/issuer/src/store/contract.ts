import type { Holder } from '../domain/holder.ts';

/** All names that were ever certified. One process at a time has it. */
export interface Register {
  of(name: string): Holder | null;
  all(): Holder[];
  /** Durable when it returns. */
  write(holder: Holder): void;
  close(): void;
}
