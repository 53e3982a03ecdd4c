/** Vitest: every test file beside what it tests, two workers, one closing line for the project's check. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    reporters: ["default", "./scripts/summary-reporter.ts"],
    testTimeout: 180_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    pool: "forks",
    // What plans measure under tests is no measure for the user's own runs.
    env: { XDG_CACHE_HOME: join(tmpdir(), "attune-tests-cache") },
  },
});
