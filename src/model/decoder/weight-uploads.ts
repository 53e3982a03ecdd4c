/** Weights on their way to a runtime: the next one is read meanwhile, whatever the runtime's thread is doing. */
import type { DeviceTensor, Runtime } from "../../compute/runtime/index.ts";
import type { Tensor } from "../../compute/tensor/index.ts";

export interface WeightUploads {
  /** Starts to upload `content`, which is the runtime's from then on. */
  hold(name: string, content: Tensor): void;
  /** Waits until all have arrived; rejects with the first failure. */
  all(): Promise<ReadonlyMap<string, DeviceTensor>>;
}

export function weightUploads(runtime: Runtime): WeightUploads {
  const pending = new Map<string, Promise<DeviceTensor>>();
  return {
    hold: (name, content) => {
      const upload = runtime.upload(content, { transfer: true });
      // Whoever waits for it is told; until then, and where reading fails first, it is nobody's unhandled error.
      upload.catch(() => {});
      pending.set(name, upload);
    },
    all: async () => {
      const weights = new Map<string, DeviceTensor>();
      for (const [name, upload] of pending) weights.set(name, await upload);
      return weights;
    },
  };
}
