// Where releases of the client differ in what they can read. Everything else is an addition that old clients skip.

/** "1.41.0" → [1, 41]; null when the client announces nothing we understand (1.28 and older announce nothing). */
export function releaseOf(flwrVersion: string): readonly [number, number] | null {
  const found = /^(\d{1,4})\.(\d{1,4})(?:\D|$)/.exec(flwrVersion);
  return found === null ? null : [Number(found[1]), Number(found[2])];
}

const since = (flwrVersion: string, minor: number): boolean => {
  const release = releaseOf(flwrVersion);
  return release !== null && (release[0] > 1 || release[1] >= minor);
};

/** Since 1.30 the details of a gRPC status are a JSON object; before, plain text that some commands compare. */
export const readsJsonDetails = (flwrVersion: string): boolean => since(flwrVersion, 30);

/**
 * NodeInfo got its present layout with 1.24. A 1.23 command announces no release, exactly like 1.24 to 1.28, and
 * no bytes can please both, so only a client that says it is 1.23 (through the gRPC adapter) gets the old layout.
 * `flwr supernode list` of 1.23 therefore fails here; the other commands of 1.23 work.
 */
export const readsOldNodeInfo = (flwrVersion: string): boolean => {
  const release = releaseOf(flwrVersion);
  return release !== null && release[0] === 1 && release[1] === 23;
};

/**
 * Federation got its present layout by 1.28. From 1.24 to 1.27 the same numbers have other types, which makes the whole
 * answer unreadable there. Those releases announce nothing: who does not announce a release is told the name only.
 */
export const readsFederationDetails = (flwrVersion: string): boolean => since(flwrVersion, 28);
