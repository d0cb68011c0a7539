import type { OpenUpload } from '../domain/upload.ts';
import type { Gateway } from './gateway.ts';

/** Keeps the upload at hand until its task is withdrawn. One that was withdrawn meanwhile must not stay for ever. */
export const keepAtHand = async (gateway: Gateway, loaded: OpenUpload): Promise<OpenUpload> => {
  const { mailbox, openUploads, tasks } = gateway;
  const { nodeId, taskId } = loaded.record.task;
  const upload = openUploads.keep(loaded);
  if (mailbox.find(nodeId, taskId)) return upload;
  let isOpen = false;
  try {
    isOpen = (await tasks.ofNode(nodeId)).some((task) => task.taskId === taskId);
  } finally {
    if (!isOpen) openUploads.drop(upload);
  }
  return upload;
};
