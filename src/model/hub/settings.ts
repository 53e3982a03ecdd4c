/** Which hub, with which token, into which cache: the environment variables of huggingface_hub, and ModelScope's. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { UserError } from "../../util/index.ts";

export interface HubSettings {
  readonly kind: "huggingface" | "modelscope";
  /** Without a slash at the end. */
  readonly endpoint: string;
  /** Sent to the endpoint's origin and nowhere else; never printed. */
  readonly token?: string;
  /** No request is made. */
  readonly offline: boolean;
  /** Holds `models--owner--name` folders. */
  readonly cacheFolder: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads ATTUNE_HUB (`huggingface` or `modelscope`), HF_ENDPOINT, HF_TOKEN, HF_TOKEN_PATH, HF_HUB_OFFLINE, HF_HOME,
 * HF_HUB_CACHE, XDG_CACHE_HOME; for ModelScope MODELSCOPE_DOMAIN and MODELSCOPE_API_TOKEN, with a cache of its own,
 * since one name may mean different files on the two hubs.
 */
export async function hubSettings(environment: Environment = process.env): Promise<HubSettings> {
  const get = (...names: string[]): string | undefined =>
    names.map((name) => environment[name]?.trim()).find((value) => value !== undefined && value !== "");
  const isOn = (name: string): boolean => /^(1|true|yes|on)$/i.test(get(name) ?? "");
  const offline = isOn("HF_HUB_OFFLINE") || isOn("TRANSFORMERS_OFFLINE");
  const caches = get("XDG_CACHE_HOME") ?? join(homedir(), ".cache");
  const kind = get("ATTUNE_HUB") ?? "huggingface";
  if (kind === "modelscope") {
    const domain = get("MODELSCOPE_DOMAIN") ?? "modelscope.cn";
    const token = get("MODELSCOPE_API_TOKEN");
    return {
      kind,
      endpoint: checkEndpoint(domain.includes("://") ? domain : `https://${domain}`, "MODELSCOPE_DOMAIN"),
      ...(token === undefined ? {} : { token: checkToken(token, "MODELSCOPE_API_TOKEN") }),
      offline,
      cacheFolder: join(caches, "attune", "modelscope"),
    };
  }
  if (kind !== "huggingface") {
    throw new UserError(`ATTUNE_HUB is ${JSON.stringify(kind)}; it must be huggingface or modelscope`);
  }
  const home = get("HF_HOME") ?? join(caches, "huggingface");
  const token =
    get("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") ??
    (await savedToken(get("HF_TOKEN_PATH") ?? join(home, "token")));
  return {
    kind,
    endpoint: checkEndpoint(get("HF_ENDPOINT") ?? "https://huggingface.co", "HF_ENDPOINT"),
    ...(token === undefined ? {} : { token: checkToken(token, "HF_TOKEN") }),
    offline,
    cacheFolder: get("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE") ?? join(home, "hub"),
  };
}

/** The token that `hf auth login` saved. */
async function savedToken(path: string): Promise<string | undefined> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text.trim() === "" ? undefined : text.trim();
}

function checkEndpoint(text: string, variable: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (
    url === undefined ||
    !["http:", "https:"].includes(url.protocol) ||
    url.username !== "" ||
    url.search !== ""
  ) {
    // The value is not shown: it may hold a password.
    throw new UserError(`${variable} is not a plain http(s) address`, {
      next: "For example: https://hf-mirror.com",
    });
  }
  return url.href.replace(/\/+$/, "");
}

function checkToken(token: string, variable: string): string {
  // A line break in a header would be refused with a message that shows the token.
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new UserError(`${variable} holds characters that a token cannot have`, { next: "Copy it again." });
}
