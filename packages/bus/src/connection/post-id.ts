import { createHash } from 'node:crypto';

const DIGITS = 32;

/** The client id of the session with a `postId`. One-way: the client id does not reveal the post id. */
export function clientIdOf(postId: string): string {
  return `arq_client_${createHash('sha256').update(postId).digest('hex').slice(0, DIGITS)}`;
}
