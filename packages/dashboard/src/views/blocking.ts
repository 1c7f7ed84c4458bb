import { act } from '../components/toasts.tsx';
import { visible } from '../format/visible.ts';
import { command } from '../session/session.ts';

/** Blocks a subject, with an undo. */
export function block(subject: string, reason = 'blocked by an administrator'): Promise<void> {
  return act(
    () => command('op.access.block', { subject, reason }),
    `${visible(subject)} is blocked: its connections were closed.`,
    () => void unblock(subject),
  );
}

export function unblock(subject: string): Promise<void> {
  return act(() => command('op.access.unblock', { subject }), `${visible(subject)} may come back.`);
}
