import type { Inspection, Inspector } from './publish.ts';
import type { Sender } from './session.ts';

/** The same inspector, told about each inspection how long it took in seconds, whatever came of it. */
export function timeInspections(inspector: Inspector, observe: (seconds: number) => void): Inspector {
  return {
    get enabled() {
      return inspector.enabled;
    },
    inspect(inspection: Inspection, sender: Sender) {
      const began = performance.now();
      try {
        return inspector.inspect(inspection, sender);
      } finally {
        observe((performance.now() - began) / 1000);
      }
    },
  };
}
