import { cost } from './cost.ts';
import { edge } from './edge.ts';
import type { Dashboard } from './panels.ts';
import { privacy } from './privacy.ts';
import { rounds } from './rounds.ts';
import { secagg } from './secagg.ts';

export const dashboards: readonly Dashboard[] = [rounds, privacy, secagg, edge, cost];
