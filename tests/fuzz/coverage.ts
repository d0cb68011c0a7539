import { Session } from 'node:inspector/promises';

/** Tells whether code of ours was reached for the first time since it was last asked. Of V8 itself; native code is not seen. */
export class Coverage {
  readonly #session: Session;

  private constructor(session: Session) {
    this.#session = session;
  }

  static async start(): Promise<Coverage> {
    const session = new Session();
    session.connect();
    await session.post('Profiler.enable');
    // Each block is told of once: then what was reached before costs nothing any more.
    await session.post('Profiler.startPreciseCoverage', { callCount: false, detailed: true });
    await session.post('Profiler.takePreciseCoverage');
    return new Coverage(session);
  }

  async isNew(): Promise<boolean> {
    const { result } = await this.#session.post('Profiler.takePreciseCoverage');
    return result.some(({ url, functions }) => isOurs(url) && functions.length > 0);
  }

  async stop(): Promise<void> {
    await this.#session.post('Profiler.stopPreciseCoverage');
    this.#session.disconnect();
  }
}

const isOurs = (url: string): boolean => /\/(packages|services|agents)\/[^/]+\/src\//.test(url);
