/** A download as people and programs see it, for every command that may have to fetch a model first. */
import type { HubEvent } from "../model/hub/index.ts";
import { formatBytes, formatCount, formatDuration, formatPercent } from "../util/index.ts";
import { type Output, bar } from "./terminal.ts";

export function hubReporter(output: Output): (event: HubEvent) => void {
  return (event) => {
    if (event.type === "progress") {
      const { bytesDone, bytesTotal, bytesPerSecond, secondsLeft, file } = event;
      output.json({
        ...event,
        type: "download",
        secondsLeft: Number.isFinite(secondsLeft) ? secondsLeft : null,
      });
      const share = bytesTotal === 0 ? 1 : bytesDone / bytesTotal;
      const left = Number.isFinite(secondsLeft) ? `, ${formatDuration(secondsLeft)} left` : "";
      output.live(
        `${formatPercent(share, 0)}  ${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}  ${formatBytes(bytesPerSecond)}/s${left}  ${file}`,
        [
          `${bar(share, 24)} ${formatPercent(share, 0)}  ${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}`,
          `${formatBytes(bytesPerSecond)}/s${left}  ${file}`,
        ],
      );
      return;
    }
    output.json({ ...event, type: `download-${event.type}` });
    if (event.type === "plan" && event.bytesMissing > 0)
      output.line(
        `fetching ${formatBytes(event.bytesMissing)}${event.bytesMissing < event.bytesTotal ? ` of ${formatBytes(event.bytesTotal)}` : ""} in ${formatCount(event.files)} files`,
      );
    if (event.type === "waiting") output.line(`another process is fetching ${event.what}: waiting for it`);
    if (event.type === "retry")
      output.line(`${event.file}: ${event.reason}; again in ${formatDuration(event.delaySeconds)}`);
    if (event.type === "warning") output.notice(`warning: ${event.message}`);
  };
}
