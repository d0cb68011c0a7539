import { conformanceSuite, eventually } from '@aegis/testkit';
import { expect, it } from 'vitest';
import type { Consent } from '../domain/consent.ts';
import { type Invitation, judgeInvitation, makeInvitation } from '../domain/invitation.ts';
import { activateNode, deactivateNode, type NodeRecord, registerNode, removeNode } from '../domain/node.ts';
import type { UploadRecord } from '../domain/upload.ts';
import type { AppSignatureStore, ConsentStore, InvitationStore, NodeStore, UploadStore } from './contract.ts';

// What every implementation of the two contracts must do. `other` is the store as another gateway sees it.

const now = 1_750_000_000_000;
let lastId = 2n ** 63n;
const newNode = (changes: Partial<NodeRecord> = {}): NodeRecord => {
  lastId += 1n;
  const fingerprint = lastId.toString(16).padStart(64, '0');
  return {
    ...registerNode({ nodeId: lastId, publicKey: 'pem', fingerprint, name: 'a', selfRegistered: true }, now),
    ...changes,
  };
};
const work = { heartbeatSeconds: 30, flwrVersion: '1.41.0', dialect: 'http' } as const;

export const nodeStoreSuite = conformanceSuite<{ store: NodeStore; other: NodeStore }>('NodeStore', (subject) => {
  it('finds a registered node by key and by id, its own changes at once', async () => {
    const { store } = subject();
    const node = newNode();
    expect(await store.register(node)).toEqual(node);
    expect(await store.byKey(node.fingerprint)).toEqual(node);
    const active = activateNode(node, work, now);
    expect(await store.change(node.nodeId, () => active)).toEqual(active);
    expect(await store.byKey(node.fingerprint)).toEqual(active);
    expect(await store.byKey(node.fingerprint, false)).toEqual(active);
    expect(await store.latest(node.nodeId)).toEqual(active);
    expect(await store.list()).toContainEqual(active);
  });

  it('knows nothing of a node nobody registered', async () => {
    const { store } = subject();
    expect(await store.byKey('f'.repeat(64))).toBeNull();
    expect(await store.byKey('f'.repeat(64), false)).toBeNull();
    expect(await store.latest(1n)).toBeNull();
    expect(await store.change(1n, (record) => record)).toBeNull();
    await store.delete(1n);
  });

  it('gives one key to one node, however many ask at once', async () => {
    const { store, other } = subject();
    const { fingerprint } = newNode();
    const rivals = Array.from({ length: 8 }, () => newNode({ fingerprint }));
    const winners = await Promise.all(rivals.map((node, index) => (index % 2 ? store : other).register(node)));
    expect(new Set(winners.map((node) => node.nodeId)).size).toBe(1);
    const [winner] = winners;
    expect((await store.byKey(fingerprint))?.nodeId).toBe(winner?.nodeId);
    expect((await other.byKey(fingerprint))?.nodeId).toBe(winner?.nodeId);
  });

  it('gives a subject to the first key that comes with it, however many come at once, and keeps to that', async () => {
    const { store, other } = subject();
    const name = `O=a, CN=${newNode().fingerprint}`;
    const rivals = Array.from({ length: 8 }, () => newNode());
    const owners = await Promise.all(
      rivals.map(({ fingerprint }, index) => (index % 2 ? store : other).claimSubject(name, fingerprint)),
    );
    const [owner] = owners;
    expect(new Set(owners).size).toBe(1);
    expect(rivals.map(({ fingerprint }) => fingerprint)).toContain(owner);
    expect(await other.claimSubject(name, newNode().fingerprint)).toBe(owner);
  });

  it('passes the key of a removed node on only to a node that somebody approved', async () => {
    const { store } = subject();
    const old = await store.register(newNode());
    await store.change(old.nodeId, (record) => removeNode(record, now));
    const next = newNode({ fingerprint: old.fingerprint });
    expect((await store.register(next)).nodeId).toBe(old.nodeId);
    expect((await store.reregister(next)).nodeId).toBe(next.nodeId);
    expect((await store.byKey(old.fingerprint))?.nodeId).toBe(next.nodeId);
    expect((await store.reregister(newNode({ fingerprint: old.fingerprint }))).nodeId).toBe(next.nodeId);
    expect((await store.latest(old.nodeId))?.activity).toBe('removed');
  });

  it('frees the key of a node that is deleted', async () => {
    const { store } = subject();
    const node = await store.register(newNode());
    await store.delete(node.nodeId);
    await eventually(async () => (await store.byKey(node.fingerprint)) === null);
    expect(await store.latest(node.nodeId)).toBeNull();
    const next = newNode({ fingerprint: node.fingerprint });
    expect((await store.register(next)).nodeId).toBe(next.nodeId);
  });

  it('loses no change when two gateways change a node at once', async () => {
    const { store, other } = subject();
    const { nodeId } = await store.register(newNode({ name: '' }));
    const add = (letter: string) => (record: NodeRecord) => ({ ...record, name: record.name + letter });
    await Promise.all([...'abcdef'].map((letter, index) => (index % 2 ? store : other).change(nodeId, add(letter))));
    expect([...((await store.latest(nodeId))?.name ?? '')].sort().join('')).toBe('abcdef');
  });

  it("lets another gateway's changes be seen, and tells of them", async () => {
    const { store, other } = subject();
    const heard = new Map<bigint, (string | null)[]>();
    other.onChange((nodeId, record) => heard.set(nodeId, [...(heard.get(nodeId) ?? []), record?.activity ?? null]));
    const node = await store.register(newNode());
    await store.change(node.nodeId, (record) => activateNode(record, work, now));
    await eventually(async () => (await other.byKey(node.fingerprint))?.activity === 'active');
    await store.change(node.nodeId, (record) => deactivateNode(record, now));
    await eventually(() => heard.get(node.nodeId)?.at(-1) === 'deactivated');
    await store.delete(node.nodeId);
    await eventually(() => heard.get(node.nodeId)?.at(-1) === null);
  });
});

const upload = (changes: Partial<UploadRecord> = {}): UploadRecord => {
  lastId += 1n;
  return {
    session: 'session',
    task: { taskId: '01J', runId: 2n ** 64n - 1n, nodeId: lastId },
    replyId: 'a'.repeat(64),
    head: Buffer.from([0, 255, 10]),
    partIds: ['0123456789abcdef'.repeat(4), 'f'.repeat(64)],
    runtimeSeconds: 1.5,
    announcedAt: now,
    traceparent: '00-1-2-01',
    verdict: null,
    ...changes,
  };
};

export const uploadStoreSuite = conformanceSuite<{ store: UploadStore; other: UploadStore }>(
  'UploadStore',
  (subject) => {
    it('gives back what was announced, also to another gateway', async () => {
      const { store, other } = subject();
      const announced = upload();
      const { nodeId, taskId } = announced.task;
      await store.announce(announced);
      expect(await other.find(nodeId, taskId)).toEqual(announced);
      expect(await other.ofNode(nodeId)).toEqual([announced]);
      expect(await other.find(nodeId, 'other')).toBeNull();
      expect(await other.ofNode(1n)).toEqual([]);
    });

    it('keeps one announcement for a task: the last', async () => {
      const { store } = subject();
      const first = upload();
      const second = { ...first, session: 'second', replyId: 'b'.repeat(64) };
      const beside = { ...first, task: { ...first.task, taskId: '01K' } };
      for (const record of [first, second, beside]) await store.announce(record);
      const kept = await store.ofNode(first.task.nodeId);
      expect(kept).toHaveLength(2);
      expect(kept).toEqual(expect.arrayContaining([second, beside]));
    });

    it.each([
      ['accepted', { accepted: true }],
      ['refused', { accepted: false, code: 'UPDATE_WEIGHT', detail: 'negative' }],
    ] as const)('remembers that it was %s', async (_name, verdict) => {
      const { store, other } = subject();
      const announced = upload();
      const { nodeId, taskId } = announced.task;
      await store.announce(announced);
      await store.settle(announced, verdict);
      expect((await other.find(nodeId, taskId))?.verdict).toEqual(verdict);
      expect((await other.announce({ ...announced, session: 'again' })).verdict).toEqual(verdict);
    });

    it('does not settle another answer than the one last announced', async () => {
      const { store, other } = subject();
      const announced = upload();
      const { nodeId, taskId } = announced.task;
      await store.announce(announced);
      await store.settle({ ...announced, replyId: 'c'.repeat(64) }, { accepted: true });
      await store.settle({ ...announced, task: { ...announced.task, taskId: 'unknown' } }, { accepted: true });
      expect((await store.find(nodeId, taskId))?.verdict).toBeNull();
      expect(await store.find(nodeId, 'unknown')).toBeNull();
      const second = await other.announce({ ...announced, replyId: 'b'.repeat(64) });
      await store.settle(announced, { accepted: true });
      expect(await store.find(nodeId, taskId)).toEqual(second);
    });

    it('goes on with the same answer when it is announced again, here or at another gateway', async () => {
      const { store, other } = subject();
      const announced = upload();
      const { nodeId, taskId } = announced.task;
      expect(await store.announce(announced)).toEqual(announced);
      for (const again of [store, other])
        expect(await again.announce({ ...announced, session: 'again', announcedAt: now + 1 })).toEqual(announced);
      // settled by a gateway that read it, not by the one that wrote it
      const read = await other.find(nodeId, taskId);
      await other.settle(read as UploadRecord, { accepted: true });
      expect((await store.find(nodeId, taskId))?.verdict).toEqual({ accepted: true });
    });

    it('holds an announcement of 200,000 parts', async () => {
      const { store } = subject();
      const partIds = Array.from({ length: 200_000 }, (_, index) => index.toString(16).padStart(64, '0'));
      const announced = upload({ partIds });
      await store.announce(announced);
      expect((await store.find(announced.task.nodeId, announced.task.taskId))?.partIds).toEqual(partIds);
    });
  },
);

export const appSignatureStoreSuite = conformanceSuite<{ store: AppSignatureStore; other: AppSignatureStore }>(
  'AppSignatureStore',
  (subject) => {
    const newHash = () => newNode().fingerprint;

    it('keeps every signature of a bundle, however many come at once', async () => {
      const { store, other } = subject();
      const hash = newHash();
      const ids = Array.from({ length: 6 }, (_none, index) => `key ${index}`);
      await Promise.all(ids.map((id, index) => (index % 2 ? store : other).add(hash, id, `{"of": ${index}}`)));
      expect(await other.of(hash)).toEqual(Object.fromEntries(ids.map((id, index) => [id, `{"of": ${index}}`])));
    });

    it('lets a key sign again, and knows nothing of other bundles', async () => {
      const { store } = subject();
      const hash = newHash();
      await store.add(hash, 'board', 'old');
      await store.add(hash, 'board', 'new');
      expect(await store.of(hash)).toEqual({ board: 'new' });
      expect(await store.of(newHash())).toEqual({});
    });
  },
);

const newInvitation = (): Invitation => {
  lastId += 1n;
  return makeInvitation({ hash: lastId.toString(16).padStart(64, 'a'), name: 'a', seconds: 3_600 }, now);
};

export const invitationStoreSuite = conformanceSuite<{ store: InvitationStore; other: InvitationStore }>(
  'InvitationStore',
  (subject) => {
    it('keeps what was added, for everybody, and knows nothing else', async () => {
      const { store, other } = subject();
      const one = newInvitation();
      await store.add(one);
      expect(await other.list()).toContainEqual(one);
      expect(await other.change(one.hash, (latest) => latest)).toEqual(one);
      expect(await store.change('f'.repeat(64), () => one)).toBeNull();
    });

    it('lets one of many use it, wherever they ask', async () => {
      const { store, other } = subject();
      const one = newInvitation();
      await store.add(one);
      const outcomes = await Promise.all(
        Array.from({ length: 8 }, async (_, at) => {
          let outcome = '';
          await (at % 2 ? store : other).change(one.hash, (latest) => {
            const verdict = judgeInvitation(latest, { holder: `h${at}`, nodeId: BigInt(at) }, now);
            outcome = verdict.outcome;
            return 'invitation' in verdict ? verdict.invitation : latest;
          });
          return outcome;
        }),
      );
      expect(outcomes.sort()).toEqual(['taken', ...Array.from({ length: 7 }, () => 'used')]);
      const winner = (await other.list()).find(({ hash }) => hash === one.hash);
      expect(winner?.use?.holder).toBe(`h${winner?.use?.nodeId}`);
    });

    it('passes on what a change throws, and keeps the rest as it was', async () => {
      const { store } = subject();
      const one = newInvitation();
      await store.add(one);
      await expect(
        store.change(one.hash, () => {
          throw new Error('no');
        }),
      ).rejects.toThrow('no');
      expect(await store.list()).toContainEqual(one);
    });
  },
);

export const consentStoreSuite = conformanceSuite<{ store: ConsentStore; other: ConsentStore }>(
  'ConsentStore',
  (subject) => {
    const yes = (to: string, at: number): Consent => ({ to, version: 'v1', given: true, at });

    it('keeps what was said, for everybody, and knows nothing else', async () => {
      const { store, other } = subject();
      lastId += 1n;
      expect(await store.of(lastId)).toEqual([]);
      const said = [yes('purpose:a', 1)];
      expect(await store.change(lastId, () => said)).toEqual({ before: [], after: said });
      expect(await other.of(lastId)).toEqual(said);
      expect(await other.list()).toContainEqual([lastId, said]);
      expect(await other.change(lastId, (before) => before)).toEqual({ before: said, after: said });
    });

    it('loses nothing of what is said at once, wherever', async () => {
      const { store, other } = subject();
      lastId += 1n;
      const say = (at: number) =>
        (at % 2 ? store : other).change(lastId, (before) => [...before, yes(`run:${at}`, at)]);
      await Promise.all([1, 2, 3, 4, 5, 6].map(say));
      expect((await store.of(lastId)).map(({ to }) => to).sort()).toEqual([1, 2, 3, 4, 5, 6].map((at) => `run:${at}`));
    });

    it('passes on what a change throws, and keeps what was there', async () => {
      const { store } = subject();
      lastId += 1n;
      await store.change(lastId, () => [yes('purpose:a', 1)]);
      const failing = store.change(lastId, () => {
        throw new Error('no');
      });
      await expect(failing).rejects.toThrow('no');
      expect(await store.of(lastId)).toEqual([yes('purpose:a', 1)]);
    });
  },
);
