import { createPublicKey } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemRandom } from '@aegis/service-kit';
import { describe, expect, it } from 'vitest';
import { openSshPublicLine, readPrivateKey } from '../keys/openssh-private-key.ts';
import { cast } from './cast.ts';
import { runIdIn } from './flwr-run.ts';
import { createNodeKey, supernodeArguments } from './supernode.ts';
import { judge } from './verdict.ts';

const quality = (accuracy: number) => ({ accuracy, loss: 1 - accuracy });

describe('the verdict of the demo', () => {
  it('holds for a model that is good and better than any node alone', () => {
    const report = { federated: quality(0.953), alone: [0.5, 0.736, 0.6, 0.7, 0.4].map(quality) };
    expect(judge(report, 6, 139.6)).toEqual({
      holds: true,
      complaints: [],
      line: 'demo: accuracy=0.95 rounds=6 nodes=5 seconds=140',
    });
  });

  it('holds at exactly the demanded accuracy and advantage', () => {
    expect(judge({ federated: quality(0.9), alone: [quality(0.85)] }, 6, 1).holds).toBe(true);
  });

  for (const [federated, alone, complaint] of [
    [0.899, 0.5, 'the held-out accuracy 0.899 is below 0.90'],
    [0.95, 0.91, "it is not 0.05 above the best single node's 0.910 (0.950 - 0.910 = 0.040)"],
    [Number.NaN, 0.5, 'the held-out accuracy NaN is below 0.90'],
  ] as const) {
    it(`does not hold for ${federated} against ${alone}, and says why with the arithmetic`, () => {
      const verdict = judge({ federated: quality(federated), alone: [quality(0.3), quality(alone)] }, 6, 100);
      expect(verdict.holds).toBe(false);
      expect(verdict.complaints).toContain(complaint);
    });
  }
});

describe('the cast of the demo', () => {
  it('has one image share each, one victim, and both wires', () => {
    expect(cast.map(({ partition }) => partition).sort()).toEqual(cast.map((_, index) => index));
    expect(cast.filter(({ victim }) => victim)).toHaveLength(1);
    const surviving = cast.filter(({ victim }) => !victim).map(({ release }) => release);
    expect(surviving).toEqual(expect.arrayContaining(['1.41.0', '1.39.0', '1.22.0']));
  });
});

describe('the options of flower-supernode', () => {
  const key = { privateFile: '/k', publicFile: '/k.pub', publicKey: Buffer.alloc(0) };
  const argumentsOf = (release: string) =>
    supernodeArguments({
      ...{ role: { name: 'n', release, partition: 2 }, nodes: 5, key },
      ...{ address: '127.0.0.1:1', ca: '/ca', runtimePort: 9095 },
    }).join(' ');

  it('are those of 1.38 and later', () => {
    for (const release of ['1.38.0', '1.39.0', '1.41.0']) {
      expect(argumentsOf(release)).toBe(
        '--superlink 127.0.0.1:1 --root-certificates /ca --auth-supernode-private-key /k --host 127.0.0.1 --port 9095 --node-config partition-id=2 num-partitions=5',
      );
    }
  });

  it('are those of 1.22, which also wants the public key', () => {
    expect(argumentsOf('1.22.0')).toContain('--auth-supernode-public-key /k.pub');
    expect(argumentsOf('1.22.0')).toContain('--clientappio-api-address 127.0.0.1:9095');
    expect(argumentsOf('1.26.0')).not.toContain('public-key');
  });
});

describe('a node key', () => {
  it('is an OpenSSH pair on P-384 that only its owner can read', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aegis-key-'));
    try {
      const files = await createNodeKey(folder, 'ada', systemRandom);
      expect((await stat(files.privateFile)).mode & 0o777).toBe(0o600);
      const key = readPrivateKey(await readFile(files.privateFile, 'utf8'));
      expect(key.asymmetricKeyDetails?.namedCurve).toBe('secp384r1');
      expect(files.publicKey.toString()).toBe(`${openSshPublicLine(createPublicKey(key), 'ada')}\n`);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('what flwr run prints', () => {
  it('holds the run id among other lines, too large for a JavaScript number', () => {
    const output =
      'Successfully started run 18446744073709551615\n{\n  "success": true,\n  "run-id": "18446744073709551615"\n}\n';
    expect(runIdIn(output)).toBe(18446744073709551615n);
    expect(runIdIn('{"success": false, "run-id": null}')).toBeUndefined();
  });
});
