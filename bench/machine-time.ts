import { readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100;

/**
 * CPU seconds that all processes of the machine have used since it started, and those that its host took away. Interrupts
 * are left out: they are the traffic itself. Undefined where there is no /proc.
 */
export function machineCpuSeconds(): number | undefined {
  let text: string;
  try {
    text = readFileSync('/proc/stat', 'utf8');
  } catch {
    return undefined;
  }
  const [user, nice, system, , , , , steal] = text.slice(0, text.indexOf('\n')).split(/\s+/).slice(1).map(Number);
  return (user! + nice! + system! + (steal ?? 0)) / TICKS_PER_SECOND;
}
