import { createPrivateKey } from 'node:crypto';
import { chooseParameters, Grid, Roster, SecaggClient, SigningKey, type Terms } from '@aegis/core-native/secagg';
import { createRoot, issueCertificate, SigningTrust } from '@aegis/service-kit';
import { type Benchmark, fixed } from './contract.ts';

const ID = 'advert-verify-us';
const NODES = 300;
const TIMES = 5;

/** What a guard or the secagg service spends on one node's signed keys, the certificate being known. */
export const adverts: Benchmark = {
  when: 'named',
  figures: [
    {
      id: ID,
      unit: 'µs',
      sense: 'cost',
      must: { text: '60', limit: fixed(60) },
      aim: '60',
      meaning: 'one advert of a masked round read and its P-256 signature checked, of a cohort of 300; CPU time',
      shortfall: 'Nothing is verified twice; the rest is reading the text of it.',
    },
  ],
  measure: async ({ sides }) => {
    if (!sides.includes('aegis')) return [];
    const now = Date.now();
    const seconds = Math.floor(now / 1_000);
    const root = await createRoot('bench', 30, now);
    const trust = SigningTrust.in(root.certPem);
    const grid = Grid.create([{ name: 'w', dtype: '<f4', shape: [6] }], { clip: 1, valueBits: 16, weightMax: 1 });
    const chosen = await chooseParameters(NODES, { dropouts: 0.2, colluders: 0.1 });
    const terms: Terms = {
      ...{ run: '77', round: '1', plan: '11'.repeat(32), degree: chosen.degree },
      ...{ threshold: chosen.threshold, minSurvivors: chosen.min_survivors },
      ...{ bits: grid.modulus(NODES).bits, length: String(grid.length) },
    };
    const floors = { cohort: 2, survivors: 2, colluders: 0 };
    const certified = [];
    for (let node = 1; node <= NODES; node += 1) {
      const { certPem, keyPem } = await issueCertificate(root, { kind: 'signing', name: `n-${node}`, days: 1 }, now);
      const key = SigningKey.fromPkcs8(createPrivateKey(keyPem).export({ type: 'pkcs8', format: 'der' }));
      const { advert } = SecaggClient.advertise(`${node}`, terms, floors, key, seconds + 3_600);
      if (advert === undefined) throw new Error('A client that began has an advert.');
      const { subject, keyPem: signingKey } = trust.openCertificate(certPem, now);
      certified.push({ advert, subject, signingKey });
    }
    const micros: number[] = [];
    for (let at = 0; at < TIMES; at += 1) {
      const before = process.cpuUsage();
      Roster.create(terms, certified, seconds);
      const { user, system } = process.cpuUsage(before);
      micros.push((user + system) / NODES);
    }
    const sorted = micros.toSorted((a, b) => a - b);
    const value = sorted[Math.floor(TIMES / 2)] ?? Number.NaN;
    return [
      {
        id: ID,
        aegis: { value, note: `median of ${TIMES} rosters of ${NODES}, worst ${sorted.at(-1)?.toFixed(1)}` },
        peer: null,
      },
    ];
  },
};
