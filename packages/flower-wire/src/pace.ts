/** So many in ten seconds, counted from the first of them. */
export class Pace {
  readonly #most: number;
  #count = 0;
  #begunAt = Number.NEGATIVE_INFINITY;

  constructor(most: number) {
    this.#most = most;
  }

  /** False: that is one too many. `monotonic`: milliseconds. */
  step(monotonic: number): boolean {
    if (monotonic - this.#begunAt >= 10_000) {
      this.#begunAt = monotonic;
      this.#count = 0;
    }
    this.#count += 1;
    return this.#count <= this.#most;
  }
}
