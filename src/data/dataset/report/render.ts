/** The whole report as one HTML file. */
import type { Manifest } from "../manifest.ts";

export function renderReport(manifest: Manifest): string {
  return `<!doctype html><title>${manifest.kind}</title>`;
}
