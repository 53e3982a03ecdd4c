/** Stop strings in a stream of text: nothing of one is ever shown, also when tokens cut it in two. */

export interface StopFilter {
  /** Text that is certain to stand before any stop string. `stopped` is true once one is complete. */
  push(text: string): { readonly text: string; readonly stopped: boolean };
  /** What was held back, when the stream ends by itself. */
  end(): string;
}

export function stopFilter(stops: readonly string[]): StopFilter {
  const wanted = stops.filter((stop) => stop !== "");
  let held = "";
  return {
    push: (text) => {
      held += text;
      const found = wanted.map((stop) => held.indexOf(stop)).filter((index) => index >= 0);
      if (found.length > 0) {
        const shown = held.slice(0, Math.min(...found));
        held = "";
        return { text: shown, stopped: true };
      }
      const keep = longestPartial(held, wanted);
      const shown = held.slice(0, held.length - keep);
      held = held.slice(held.length - keep);
      return { text: shown, stopped: false };
    },
    end: () => {
      const rest = held;
      held = "";
      return rest;
    },
  };
}

/** Length of the longest end of `text` that begins a stop string. */
function longestPartial(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(stop.slice(0, length))) longest = length;
    }
  }
  return longest;
}
