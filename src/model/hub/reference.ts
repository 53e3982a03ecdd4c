/** What a user may name as a model: a folder, a .gguf file, or a repository on a hub. */
import { stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { UserError } from "../../util/index.ts";

export type ModelReference =
  | { readonly kind: "folder"; readonly path: string }
  | { readonly kind: "gguf"; readonly path: string }
  | HubReference;

export interface HubReference {
  readonly kind: "hub";
  /** `owner/name` */
  readonly id: string;
  /** Branch, tag or commit; absent: the hub's default branch. */
  readonly revision?: string;
  /** One file of the repository, such as a .gguf. */
  readonly file?: string;
}

const part = "[A-Za-z0-9](?:[A-Za-z0-9._-]{0,95})";
const hubPattern = new RegExp(`^(${part}/${part})(?:@([^:\\s]{1,256}))?(?::(\\S{1,512}))?$`);

/** Something on the disk wins over a repository of the same name. */
export async function resolveReference(text: string): Promise<ModelReference> {
  const path = resolve(text.startsWith("~/") ? join(homedir(), text.slice(2)) : text);
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() === true) return { kind: "folder", path };
  if (found?.isFile() === true) {
    if (/\.gguf$/i.test(path)) return { kind: "gguf", path };
    throw new UserError(`${text} is a file, but not a .gguf file`, {
      next: "Name a model folder, a .gguf file, or a repository such as HuggingFaceTB/SmolLM2-135M-Instruct.",
    });
  }
  if (/^(?:[./~\\]|[A-Za-z]:[\\/])/.test(text) || (/\.gguf$/i.test(text) && !text.includes(":"))) {
    throw new UserError(`the model ${text} does not exist`, { next: "Check the path." });
  }
  return parseHubReference(text);
}

/** `owner/name[@revision][:file]` */
export function parseHubReference(text: string): HubReference {
  const match = hubPattern.exec(text);
  const [, id, revision, file] = match ?? [];
  if (id === undefined || id.includes("..") || id.includes("--") || id.length > 96) {
    throw new UserError(
      `${JSON.stringify(text.slice(0, 120))} is neither a path that exists nor a repository name`,
      {
        next: "Name a model folder, a .gguf file, or a repository as owner/name, owner/name@revision or owner/name:file.gguf.",
      },
    );
  }
  if (revision !== undefined && !isSafePath(revision)) {
    throw new UserError(`${JSON.stringify(revision)} is not a revision`, {
      next: "Name a branch, tag or commit.",
    });
  }
  if (file !== undefined && !isSafePath(file)) {
    throw new UserError(`${JSON.stringify(file)} is not a file of a repository`, {
      next: "Name it as the hub lists it, such as model.Q8_0.gguf.",
    });
  }
  return {
    kind: "hub",
    id,
    ...(revision === undefined ? {} : { revision }),
    ...(file === undefined ? {} : { file }),
  };
}

/** A relative path that cannot leave its folder on any platform. */
export function isSafePath(path: string): boolean {
  if (path === "" || path.length > 1024) return false;
  // Control characters, backslashes, and colons (drives and streams on Windows).
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f\\:]/.test(path)) return false;
  return path.split("/").every((segment) => segment !== "" && segment !== "." && segment !== "..");
}
