import { expect, it } from 'vitest';
import { isOpenToOthers } from './private-file.ts';

const we = { uid: 10001, gid: 10001 };
it.each([
  ['only its owner may read it', { mode: 0o100600, uid: 10001, gid: 10001 }, we, false],
  ['a mounted secret: root wrote it for the group of the pod', { mode: 0o100440, uid: 0, gid: 10001 }, we, false],
  ['the same for another group', { mode: 0o100440, uid: 0, gid: 100 }, we, true],
  ['the same, and the group may write', { mode: 0o100460, uid: 0, gid: 10001 }, we, true],
  ['the same, and everybody may read', { mode: 0o100444, uid: 0, gid: 10001 }, we, true],
  ['our own file, readable by our group', { mode: 0o100640, uid: 10001, gid: 10001 }, we, true],
  ["root's own, readable by root's group", { mode: 0o100440, uid: 0, gid: 0 }, { uid: 0, gid: 0 }, true],
  ["root's group is nobody's own", { mode: 0o100440, uid: 0, gid: 0 }, { uid: 10001, gid: 0 }, true],
])('%s', (_, file, own, open) => {
  expect(isOpenToOthers(file, own)).toBe(open);
});
