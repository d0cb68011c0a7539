import type { Target } from '../target.ts';
import * as arrays from './arrays.ts';
import * as edge from './edge.ts';
import * as flower from './flower.ts';
import * as transports from './transports.ts';

export const targets: readonly Target[] = [flower, edge, arrays, transports].flatMap((group) => Object.values(group));
