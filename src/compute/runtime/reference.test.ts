/** The interpreter keeps the contract of a runtime. */
import { referenceRuntime } from "./index.ts";
import { runtimeContract } from "./runtime.contract.ts";

runtimeContract("reference interpreter", async () => referenceRuntime());
