import type { FlowerSaid, TaskRef } from '../domain/answer.ts';
import type { RoundInput, RoundState } from '../domain/round.ts';

/** The round that the answers belong to. */
export interface OpenRound {
  state(): RoundState;
  /** Resolves when the input has had its effects. */
  post(input: RoundInput): Promise<void>;
  /** Takes effect at once, and is saved with the next change. */
  mark(input: RoundInput): void;
  /** For spans outside of a call. */
  parent(): string | undefined;
  /** Of a masked round: whether the node's vector can be taken. Resolves once that is settled. */
  takes(nodeId: bigint): Promise<boolean>;
  /** What a node says in a stage of Flower's SecAgg+: thrown at if it says what cannot be counted. */
  checkFlower(task: TaskRef, said: FlowerSaid): void;
  /** It counts. */
  heardFlower(): void;
  /** Repeats what fails for want of a store. */
  untilAvailable<T>(work: () => Promise<T>): Promise<T>;
}
