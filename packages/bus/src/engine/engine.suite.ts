import { describe } from 'vitest';
import { clockSuite } from './suite/clock.suite.ts';
import { clusterSuite } from './suite/cluster.suite.ts';
import { expectSuite } from './suite/expect.suite.ts';
import { historySuite } from './suite/history.suite.ts';
import { idempotenceSuite, windowSuite } from './suite/idempotence.suite.ts';
import { inventorySuite } from './suite/inventory.suite.ts';
import { keepRestSuite, keepSuite } from './suite/keep.suite.ts';
import { lifecycleSuite, restartSuite } from './suite/lifecycle.suite.ts';
import { modelSuite } from './suite/model.suite.ts';
import { orderSuite } from './suite/order.suite.ts';
import { quotaSuite } from './suite/quota.suite.ts';
import { restSuite } from './suite/rest.suite.ts';
import { retentionSuite } from './suite/retention.suite.ts';
import type { EngineFactory } from './suite/rig.suite.ts';
import { storeSuite } from './suite/store.suite.ts';
import { usageSuite } from './suite/usage.suite.ts';
import { watchSuite } from './suite/watch.suite.ts';

/** What a backend has; the suite then asks for it (a missing capability is not a skipped test, but another backend). */
export interface Capabilities {
  /** Several nodes share it: its rigs have `second`, its engines have presence. */
  readonly clusters: boolean;
  /** It outlives its process: its rigs have `restart`. */
  readonly durable: boolean;
  /** `elapse` moves the engine's clock instead of waiting, so that minutes cost nothing. */
  readonly fakeClock: boolean;
}

/**
 * The conformance suite that every engine passes unchanged. `factory` makes a fresh and empty backend per test; see
 * {@link EngineRig} in `suite/rig.suite.ts` for what it owes.
 */
export function engineSuite(name: string, factory: EngineFactory, capabilities: Capabilities): void {
  describe(`${name} engine`, () => {
    orderSuite(factory);
    historySuite(factory);
    retentionSuite(factory);
    keepSuite(factory);
    usageSuite(factory);
    idempotenceSuite(factory);
    if (capabilities.fakeClock) windowSuite(factory);
    if (capabilities.fakeClock) restSuite(factory);
    if (capabilities.fakeClock) keepRestSuite(factory);
    expectSuite(factory);
    clockSuite(factory);
    storeSuite(factory);
    quotaSuite(factory);
    modelSuite(factory);
    watchSuite(factory);
    inventorySuite(factory);
    lifecycleSuite(factory);
    if (capabilities.durable) restartSuite(factory);
    if (capabilities.clusters) clusterSuite(factory);
  });
}
