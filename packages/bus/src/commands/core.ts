import type { Core } from '../core.ts';
import type { Subjects } from '../subjects.ts';
import { accessCommands } from './access.ts';
import { announceCommands } from './announce.ts';
import { channelCommands } from './channels.ts';
import type { AnyCommand } from './command.ts';
import { connectionCommands } from './connection.ts';
import { deliveryCommands } from './delivery.ts';
import { groupCommands } from './groups.ts';
import { historyCommands } from './history.ts';
import { membershipCommands } from './membership.ts';
import { ruleCommands } from './rules.ts';
import { streamCommands } from './streams.ts';

/** The commands of every server. Add new command families here. */
export function coreCommands(bus: Core, subjects: Subjects, listAll: () => readonly AnyCommand[]): AnyCommand[] {
  return [
    ...connectionCommands(bus, listAll),
    ...membershipCommands(bus),
    ...channelCommands(bus),
    ...historyCommands(bus),
    ...ruleCommands(bus),
    ...accessCommands(bus, subjects),
    ...groupCommands(bus),
    ...streamCommands(bus),
    ...deliveryCommands(bus),
    ...announceCommands(bus),
  ];
}
