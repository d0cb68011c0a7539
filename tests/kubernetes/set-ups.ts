// What may be installed on the cluster, and which figures it then has.
import { backup } from './backup.ts';
import { certManaged, renewal, startCertManager } from './cert-manager.ts';
import { chaos, drain, type Figure, firstRound, footprint, upgradeAndRollback } from './figures.ts';
import { issuer } from './issuer.ts';
import { autoscaled, autoscaling, startKeda } from './keda.ts';
import { type InstallOptions, replicated, singleNode } from './suite.ts';

interface SetUp {
  readonly nodes: number;
  /** What the cluster has before the suite comes. */
  readonly before?: () => Promise<void>;
  readonly options: InstallOptions;
  readonly figures: Readonly<Record<string, () => Promise<Figure>>>;
}

const onSingleNode: SetUp = {
  ...{ nodes: 2, options: singleNode },
  figures: {
    ...{ 'first-round': firstRound, footprint, drain, upgrade: upgradeAndRollback },
    ...{ chaos: () => chaos(), backup: () => backup(singleNode), issuer },
  },
};

/** By the word that asks for each. */
const others: Readonly<Record<string, SetUp>> = {
  '--replicated': {
    ...{ nodes: 3, options: replicated },
    figures: { 'first-round': firstRound, chaos: () => chaos(120_000), backup: () => backup(replicated) },
  },
  '--cert-manager': {
    ...{ nodes: 1, before: startCertManager, options: certManaged },
    figures: { 'first-round': firstRound, renewal },
  },
  '--keda': {
    ...{ nodes: 1, before: startKeda, options: autoscaled },
    figures: { 'first-round': firstRound, autoscaling },
  },
};

export const setUpFor = (words: readonly string[]): SetUp =>
  Object.entries(others).find(([word]) => words.includes(word))?.[1] ?? onSingleNode;
