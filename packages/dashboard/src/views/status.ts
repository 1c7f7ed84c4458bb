import type { ServerStatus } from '@arqonbus/protocol';
import { command } from '../session/session.ts';

/** The server's status, as visible to the role. */
export function statusOf(): Promise<ServerStatus> {
  return command('status', {});
}
