import { AegisError } from '@aegis/errors';
import type { NodeRecord } from '../domain/node.ts';

type Stored = Omit<NodeRecord, 'nodeId'> & { nodeId: string };

export const encodeNode = (record: NodeRecord): Buffer =>
  Buffer.from(JSON.stringify({ ...record, nodeId: record.nodeId.toString() } satisfies Stored));

export const decodeNode = (bytes: Buffer): NodeRecord => {
  try {
    const stored = JSON.parse(bytes.toString()) as Stored;
    // Records from before certificates have no subject, those from before masks or users no word about them.
    const { subject = '', user = '', canMask = false, certificateUntil = 0 } = stored;
    return { ...stored, subject, user, canMask, certificateUntil, nodeId: BigInt(stored.nodeId) };
  } catch (cause) {
    throw new AegisError('INTERNAL', 'A node record cannot be read.', cause);
  }
};
