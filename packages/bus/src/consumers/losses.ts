import type { Members } from './members.ts';

/** Notifies members of events lost before the group read them; without members, the next one that joins. */
export class Losses {
  /** Losses that were not reported, by channel. */
  private readonly untold: Map<string, number>;
  private readonly members: Members;
  private readonly notice: (channel: string, count: number) => string;

  /**
   * @param untold the unreported losses in the record
   * @param notice the notice text for a number of lost events of a channel
   */
  constructor(untold: Map<string, number>, members: Members, notice: (channel: string, count: number) => string) {
    this.untold = untold;
    this.members = members;
    this.notice = notice;
  }

  /** @param count 0 when the number is unknown */
  add(channel: string, count: number): void {
    this.untold.set(channel, (this.untold.get(channel) ?? 0) + count);
    this.tell();
  }

  /** Sends pending notices if there are members; returns whether there was anything to send. */
  tell(): boolean {
    if (this.untold.size === 0 || this.members.size === 0) return false;
    for (const [channel, lost] of this.untold) {
      const text = this.notice(channel, lost);
      for (const member of this.members.all) member.send(text);
    }
    this.untold.clear();
    return true;
  }
}
