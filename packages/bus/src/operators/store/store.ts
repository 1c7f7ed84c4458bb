import { encode, type StoreNotice } from '@arqonbus/protocol';
import type { Core } from '../../core.ts';
import type { KeyChange } from '../../engine/engine.ts';
import type { Operator } from '../operator.ts';
import { storeCommands } from './commands.ts';
import { SPACE, type StoreLimits } from './space.ts';
import { Watches } from './watches.ts';

/** op.store: namespaced key-value state for agents, with compare-and-set, time to live and change notices. */
export function createStoreOperator(bus: Core, limits: StoreLimits): Operator {
  const watches = new Watches();
  const undo: (() => void)[] = [];
  return {
    commands: storeCommands(bus.engine.store, watches, limits),
    start: () => {
      const forget = watches.forget.bind(watches);
      bus.sessionLeft.add(forget);
      undo.push(() => bus.sessionLeft.delete(forget));
      undo.push(bus.engine.store.watch(SPACE, (change) => tell(watches, change)));
    },
    load: () => {},
    stop: () => {
      for (const step of undo.splice(0)) step();
    },
  };
}

/** One notice a watching connection, however many of its watches the key matches. */
function tell(watches: Watches, { at, key, operation, version, value }: KeyChange): void {
  const watching = watches.of(at.tenant, at.namespace, key);
  if (watching.size === 0) return;
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
