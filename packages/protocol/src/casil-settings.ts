import type { CommandArgs } from './commands.ts';

/** The settings of content inspection, all of them present. */
export type CasilSettings = Required<Omit<CommandArgs<'op.casil.reload'>, 'tenant' | 'reset'>>;
