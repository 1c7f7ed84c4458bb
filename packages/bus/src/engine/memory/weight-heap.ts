/** An item with a weight. Both fields belong to the heap that contains it. */
export interface Weighed {
  weight: number;
  /** Index in the heap; -1 outside. */
  place: number;
}

/** Finds the heaviest item in O(1), and updates a weight in O(log n). Items without weight are not in it. */
export class WeightHeap<T extends Weighed> {
  readonly #items: T[] = [];

  get heaviest(): T | undefined {
    return this.#items[0];
  }

  /** Changes an item's weight, adding or removing it as needed. */
  weigh(item: T, weight: number): void {
    const before = item.weight;
    item.weight = weight;
    if (item.place < 0) {
      if (weight <= 0) return;
      item.place = this.#items.length;
      this.#items.push(item);
      this.#up(item);
    } else if (weight <= 0) this.#remove(item);
    else if (weight > before) this.#up(item);
    else this.#down(item);
  }

  #remove(item: T): void {
    const last = this.#items.pop()!;
    if (last !== item) {
      this.#put(last, item.place);
      this.#up(last);
      this.#down(last);
    }
    item.place = -1;
  }

  #up(item: T): void {
    let { place } = item;
    while (place > 0) {
      const parent = this.#items[(place - 1) >> 1]!;
      if (parent.weight >= item.weight) break;
      const above = parent.place;
      this.#put(parent, place);
      place = above;
    }
    this.#put(item, place);
  }

  #down(item: T): void {
    const items = this.#items;
    let { place } = item;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= items.length) break;
      if (below + 1 < items.length && items[below + 1]!.weight > items[below]!.weight) below += 1;
      const child = items[below]!;
      if (child.weight <= item.weight) break;
      this.#put(child, place);
      place = below;
    }
    this.#put(item, place);
  }

  #put(item: T, place: number): void {
    this.#items[place] = item;
    item.place = place;
  }
}
