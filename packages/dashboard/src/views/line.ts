import { useEffect, useRef, useState } from 'preact/hooks';
import { useLive } from '../components/live.ts';
import { bytes, count, short } from '../format/quantity.ts';
import { ask } from '../session/http.ts';
import { isAtLeast } from '../session/session.ts';

/** The traffic of a client's connection, for admins. */
interface Line {
  readonly address: string;
  readonly received: number;
  readonly sent: number;
  readonly sent_bytes: number;
  readonly backlog_bytes: number;
}

type Counted = 'received' | 'sent' | 'sent_bytes';
type Rates = Readonly<Record<Counted, number>>;

const EVERY_MS = 1_500;

/** The current traffic of a client's connection, as names and values; empty without permission. */
export function useLine(id: string): { readonly facts: [name: string, value: string][]; readonly problem: string } {
  const isAdmin = isAtLeast('admin');
  const line = useLive<Line | null>(
    () => (isAdmin ? ask(`v1/clients/${encodeURIComponent(id)}/line`) : Promise.resolve(null)),
    EVERY_MS,
    id,
  );
  const rates = useRates(line.value ?? null, id);
  const { value: now, problem } = line;
  if (now === undefined || now === null) return { facts: [], problem };
  const per = (of: Counted, write: (value: number) => string): string =>
    rates === undefined ? 'measuring…' : `${write(rates[of])}/s`;
  const facts: [string, string][] = [
    ['Address', now.address],
    ['Comes in', `${per('received', short)}, ${count(now.received)} in all`],
    ['Goes out', `${per('sent', short)}, ${count(now.sent)} in all`],
    ['Bytes out', `${per('sent_bytes', bytes)}, ${bytes(now.sent_bytes)} in all`],
    ['Backlog', now.backlog_bytes === 0 ? 'none' : bytes(now.backlog_bytes)],
  ];
  return { facts, problem };
}

/** The growth rates between the last two responses; undefined before the second. */
function useRates(line: Line | null, id: string): Rates | undefined {
  const last = useRef<{ line: Line; id: string; at: number }>(undefined);
  const [rates, setRates] = useState<{ id: string; of: Rates }>();
  useEffect(() => {
    if (line === null) return;
    const at = performance.now();
    const { current: before } = last;
    last.current = { line, id, at };
    if (before === undefined || before.id !== id) return;
    const rate = (of: Counted): number => Math.max(0, (1000 * (line[of] - before.line[of])) / (at - before.at));
    setRates({ id, of: { received: rate('received'), sent: rate('sent'), sent_bytes: rate('sent_bytes') } });
  }, [line, id]);
  return rates?.id === id ? rates.of : undefined;
}
