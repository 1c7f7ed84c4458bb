import type { AgentCard } from '@arqonbus/protocol';
import { z } from 'zod';

const TEXT = z.string().max(8_192);
/** The limit of each list in a card; its size in bytes is limited too. */
const MANY = 1_000;

const SKILL = z.looseObject({
  id: TEXT,
  name: TEXT,
  description: TEXT.exactOptional(),
  tags: z.array(TEXT).max(MANY).exactOptional(),
});

/** A description of an agent: any fields, where `skills` has the form of an A2A agent card. */
export const CARD: z.ZodType<AgentCard> = z
  .looseObject({ skills: z.array(SKILL).max(MANY).describe('Found by id, name or tag.').exactOptional() })
  .meta({ id: 'AgentCard', maxProperties: MANY, description: 'The description and abilities of an agent.' });

/** Whether a card has a skill with this id, name or tag, case-insensitive. */
export function hasSkill(card: AgentCard | undefined, wanted: string): boolean {
  const word = wanted.toLowerCase();
  return (card?.skills ?? []).some(({ id, name, tags = [] }) =>
    [id, name, ...tags].some((one) => one.toLowerCase() === word),
  );
}
