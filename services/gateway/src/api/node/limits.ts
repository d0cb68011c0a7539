const KiB = 1024;
const MiB = 1024 * KiB;

export const CONNECT_PATH = '/aegis.node.v1.Node/Connect';

/** What one stream of aegis.node.v1 may cost. */
export const nodeLimits = {
  /** Until somebody has shown a key, there is nothing large to say. */
  helloFrame: 8 * KiB,
  helloMs: 10_000,
  publicKey: 2 * KiB,
  signature: 256,
  clientName: 100,
  /** Of one frame: an announcement of `parts` ids, or a Submit that names them all, fits. */
  frame: 8 * MiB,
  part: MiB,
  /** Part bytes on their way without PartStored. */
  window: 8 * MiB,
  /** Parts of one update; with full parts, about 50 GB. */
  parts: 50_000,
  tensors: 50_000,
  slices: 100_000,
  metrics: 10_000,
  metricBytes: 2 * MiB,
  /** Frames being dealt with at once; reading pauses above. */
  atOnce: 256,
  /** Frames per second that are read, and how many may come in one burst; reading pauses above. */
  framesPerSecond: 1_000,
  burst: 5_000,
  modelReads: 64,
  /** As many as a node may ever have said something of. */
  purposes: 100,
  /**
   * Of one answer in a masked round. The largest are sealed shares: about 310 bytes of JSON for each neighbour, 999 of them in a
   * complete graph of a thousand nodes.
   */
  stageAnswer: 512 * KiB,
  /** Masked rounds that one stream takes part in at a time. */
  stageExchanges: 4,
  reason: 1_000,
  heartbeatSeconds: 20,
  /** A client that does not read how its stream ended is cut off. */
  farewellMs: 10_000,
} as const;
