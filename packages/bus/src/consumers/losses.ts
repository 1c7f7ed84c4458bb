import type { Members } from './members.ts';

/** Tells members what was lost before the group read it; while there are none, whoever comes next. */
export class Losses {
  /** Events that nobody was told of, by channel. */
  private readonly untold: Map<string, number>;
  private readonly members: Members;
  private readonly notice: (channel: string, count: number) => string;

  /**
   * @param untold what the record keeps of it
   * @param notice the text that tells of so many of a channel
   */
  constructor(untold: Map<string, number>, members: Members, notice: (channel: string, count: number) => string) {
    this.untold = untold;
    this.members = members;
    this.notice = notice;
  }

  /** @param count 0 when nobody knows how many */
  add(channel: string, count: number): void {
    this.untold.set(channel, (this.untold.get(channel) ?? 0) + count);
    this.tell();
  }

  /** Tells what is untold, if somebody is there; answers whether there was anything to tell. */
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
