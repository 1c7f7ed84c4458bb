import { encode, type StoreNotice } from '@arqonbus/protocol';
import type { Access } from '../../access.ts';
import type { Session } from '../../connection/session.ts';
import type { Core } from '../../core.ts';
import type { KeyChange } from '../../engine/engine.ts';
import { hasRole } from '../../principal.ts';
import type { Operator } from '../operator.ts';
import { storeCommands } from './commands.ts';
import { DEFAULT_STORE_LIMITS, SPACE, type StoreCounts, type StoreLimits } from './space.ts';
import { Watches } from './watches.ts';

/** The `op.store` commands and the state behind them (OPERATORS). */
export interface StoreOperator extends Operator {
  /** Since the start. */
  readonly counts: Readonly<StoreCounts>;
  /** Applies new limits to later writes. */
  adjust(limits: Partial<StoreLimits>): void;
}

/**
 * op.store: namespaced key-value state for agents, with compare-and-set, time to live and change notices.
 *
 * @param limits those that differ from {@link DEFAULT_STORE_LIMITS}
 */
export function createStoreOperator(bus: Core, limits: Partial<StoreLimits> = {}): StoreOperator {
  const watches = new Watches();
  const settled = { ...DEFAULT_STORE_LIMITS, ...limits };
  const counts: StoreCounts = { over_quota: 0, refused: 0 };
  const undo: (() => void)[] = [];
  return {
    commands: storeCommands(bus, watches, settled, counts),
    counts,
    adjust: (next) => void Object.assign(settled, next),
    start: () => {
      const forget = watches.forget.bind(watches);
      bus.sessionLeft.add(forget);
      undo.push(() => bus.sessionLeft.delete(forget));
      undo.push(bus.engine.store.watch(SPACE, (change) => tell(watches, bus.access, change)));
    },
    load: () => {},
    stop: () => {
      for (const step of undo.splice(0)) step();
    },
  };
}

/** One notice per watching connection, however many of its watches match the key; subject to its current grants. */
function tell(watches: Watches, access: Access, { at, key, operation, version, value }: KeyChange): void {
  const mayKnow = ({ principal }: Session): boolean =>
    hasRole(principal, 'user') && access.mayStore(principal, 'store_read', at.namespace, key);
  const watching = [...watches.of(at.tenant, at.namespace, key)].filter(mayKnow);
  if (watching.length === 0) return;
  const notice: StoreNotice = {
    event: 'store_changed',
    namespace: at.namespace,
    key,
    operation,
    version,
    ...(value === null ? {} : { value: JSON.parse(value) as unknown }),
  };
  const text = encode({ type: 'system', payload: { ...notice } });
  for (const session of watching) session.send(text);
}
