/** Numbers as people read them: counts, bytes, durations, rates. */

/** 1234567 → "1,234,567". */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString("en-US");
}

/** Bytes in binary units: 3 significant digits, "1.95 GiB". */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  if (unit === 0) return `${value} B`;
  // Three digits, but 1,010 KiB rather than 1.01e+3 KiB.
  return `${Math.abs(value) < 999.5 ? value.toPrecision(3) : formatCount(value)} ${units[unit]}`;
}

/** Seconds as "850 ms", "12.3 s", "4 min 05 s", "2 h 10 min". */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "unknown";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** A fraction as a percentage: 0.00345 → "0.35 %". */
export function formatPercent(fraction: number, digits = 2): string {
  return `${(fraction * 100).toFixed(digits)} %`;
}

/** Text without what could move the cursor, colour a terminal or reorder a line: each such character shows as �. */
export function visible(text: string): string {
  return text.replaceAll(/(?![\t\n\u200D])[\p{Cc}\p{Cf}]/gu, "�");
}

/** Text cut to `limit` code points for a message, with line breaks shown. */
export function excerpt(text: string, limit = 80): string {
  const points = [...visible(text).replaceAll("\n", "⏎")];
  return points.length <= limit ? points.join("") : `${points.slice(0, limit - 1).join("")}…`;
}

/** A word of a command line, in quotes where a shell would take it apart. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
