// How panes lie side by side.

/** In how many columns so many panes are laid out on a stage of this shape: as large as they can be. */
export function columnsFor(count: number, width: number, height: number): number {
  let best = 1;
  let largest = 0;
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const side = Math.min(width / columns, height / rows);
    if (side > largest) [best, largest] = [columns, side];
  }
  return best;
}
