// What a node itself knows: which tasks it executed, and which replies the server acknowledged. All of it stands in its log.

export interface Reply {
  run: string;
  round: number;
  /** Which execution of the task by this node. */
  attempt: number;
  /** SHA-256 over the arrays of the task. */
  model: string;
  /** The node saw its last part acknowledged. */
  acknowledged: boolean;
}

/** A line of ours: the stock node was started again, so what it had not sent yet is gone. */
export const RESTART_MARK = '=== started again ===';

/**
 * A stock node works on one task at a time: the app says what it executed, the SuperNode sends the reply and says "Sent
 * successfully" when all was acknowledged. A sending without an execution is an error message of the SuperNode's own.
 */
export function readReplies(log: string): Reply[] {
  const replies: Reply[] = [];
  /** Executed, not sent yet. */
  let executed: Reply | null = null;
  /** Being sent. */
  let open: Reply | null = null;
  for (const line of log.split('\n')) {
    if (line.startsWith('CRASH-APP ')) {
      executed = { ...(JSON.parse(line.slice(10)) as Omit<Reply, 'acknowledged'>), acknowledged: false };
      replies.push(executed);
    } else if (line.includes(RESTART_MARK) || line.includes('Failed to push task output')) {
      // A starved app process may lose its place at the SuperNode, which then sends an error in its name.
      executed = null;
      open = null;
    } else if (line.includes('Sending: train message')) {
      open = executed;
      executed = null;
    } else if (line.includes('Sent successfully')) {
      if (open) open.acknowledged = true;
      open = null;
    }
  }
  return replies;
}
