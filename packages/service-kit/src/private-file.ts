import type { Stats } from 'node:fs';

/**
 * May others than we read or change the file? Group-readable is let pass in the one form in which Kubernetes mounts a secret for a process that is not
 * root: root's file, of a group that is our own, which it calls fsGroup and gives to this pod alone.
 */
export const isOpenToOthers = (
  { mode, uid, gid }: Pick<Stats, 'mode' | 'uid' | 'gid'>,
  own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
): boolean => {
  const others = mode & 0o077;
  const isMountedSecret = others === 0o040 && uid === 0 && own.uid !== 0 && gid === own.gid && gid !== 0;
  return others !== 0 && !isMountedSecret;
};
