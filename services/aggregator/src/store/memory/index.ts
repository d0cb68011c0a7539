import type { Stores } from '../contract.ts';
import { MemoryApps, MemoryImports, MemoryLeases, MemoryPlans, MemoryRounds, MemoryRuns } from './documents.ts';
import { MemoryIntakes } from './intakes.ts';
import { MemoryModels } from './models.ts';

/** For tests and simulation: nothing leaves the process, nothing needs a server or the native core. */
export function memoryStores(normal?: () => number): Stores {
  const models = new MemoryModels();
  return {
    runs: new MemoryRuns(),
    rounds: new MemoryRounds(),
    leases: new MemoryLeases(),
    apps: new MemoryApps(),
    plans: new MemoryPlans(),
    imports: new MemoryImports(),
    models,
    intakes: new MemoryIntakes(models, normal),
    close: async () => {},
  };
}
