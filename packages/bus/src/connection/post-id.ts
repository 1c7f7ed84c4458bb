import { createHash } from 'node:crypto';

const DIGITS = 32;

/** The client id of the session that is posted to at `postId`: whoever knows the client id learns nothing of the other. */
export function clientIdOf(postId: string): string {
  return `arq_client_${createHash('sha256').update(postId).digest('hex').slice(0, DIGITS)}`;
}
