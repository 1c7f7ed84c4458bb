import type { ServerStatus } from '@arqonbus/protocol';
import { command } from '../session/session.ts';

/** What the server tells of itself, as far as the role shows it. */
export function statusOf(): Promise<ServerStatus> {
  return command('status', {});
}
