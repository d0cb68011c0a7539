import type { CapturedPlan } from '../peers/contract.ts';
import type { Gateway } from './gateway.ts';

/** What `aegis app import` captured. Returns the id of the initial model, '' when the plan has none. */
export const putPlan = (gateway: Gateway, plan: CapturedPlan): Promise<string> => gateway.runs.putPlan(plan);
