const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** `1.5GiB`, for people: rounded to a tenth. */
export function roundedSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1_024 && unit < UNITS.length - 1) {
    value /= 1_024;
    unit += 1;
  }
  return `${Math.round(value * 10) / 10}${UNITS[unit]}`;
}
