import { readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100;

/**
 * CPU seconds used by all processes since boot, plus those stolen by the host. Without interrupts, which are part of
 * the traffic. Undefined without /proc.
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
