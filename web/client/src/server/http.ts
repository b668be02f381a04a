import { EmitError, messageOf } from "./errors.js";
import { attempt, limits, type Attempt, type RetryOptions } from "./retry.js";
import { ending, functionError, invoke, parse, type Transport } from "./transport.js";

/** Where `bellhop dev` is. */
export interface HttpOptions extends RetryOptions {
  /** Such as http://127.0.0.1:4000. */
  endpoint: string;
  /** For runtimes and tests that have another. The global `fetch`. */
  fetch?: typeof fetch;
}

/** What the emit function is called under `bellhop dev`. */
const EMIT = "emit";

/**
 * Invokes the emit function of `bellhop dev` and waits for its answer. It speaks Lambda's Invoke API without signatures,
 * so it is not for AWS. It needs nothing but `fetch`, and so runs in edge runtimes too.
 */
export function http({ endpoint, fetch: given, ...options }: HttpOptions): Transport {
  const url = `${base(endpoint)}/2015-03-31/functions/${EMIT}/invocations`;
  const most = limits(options);
  const once = async (body: string, signal: AbortSignal | undefined): Promise<Attempt<unknown>> => {
    let response: Response;
    let text: string;
    try {
      response = await (given ?? fetch)(url, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Amz-Invocation-Type": "RequestResponse" },
        body,
        cache: "no-store", // Next.js keeps answers otherwise, in some of its versions
        signal: ending(most.timeout, signal),
      });
      text = await response.text();
    } catch (cause) {
      return { ...lost(url, cause, most.timeout), ...(signal?.aborted && { again: false }) };
    }
    const { status } = response;
    if (status !== 200) {
      const again = status === 429 || status >= 500;
      const code = again ? "throttled" : "refused";
      const hint = status === 404 ? " (is this `bellhop dev`?)" : "";
      return { error: new EmitError(code, `${url} answered ${status}${hint}: ${text.slice(0, 200)}`, { retry: again }), again };
    }
    const kind = response.headers.get("X-Amz-Function-Error");
    if (kind) return { error: functionError(EMIT, kind, text), again: false };
    return { value: parse(EMIT, text) };
  };
  return {
    answers: true,
    send: (commands, signal) => invoke(commands, (payload) => attempt(most, () => once(payload, signal))),
  };
}

function base(endpoint: string): string {
  let url: URL | undefined;
  try {
    url = new URL(endpoint);
  } catch {
    // said below
  }
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    throw new EmitError("config", `the endpoint must be a URL such as http://127.0.0.1:4000, not ${JSON.stringify(endpoint)}`);
  }
  return endpoint.replace(/\/+$/, "");
}

/** A request that nothing came back from. It may have been done all the same, which an id makes harmless. */
function lost(url: string, cause: unknown, timeout: number): Attempt<never> {
  if (cause instanceof Error && (cause.name === "TimeoutError" || cause.name === "AbortError")) {
    return { error: new EmitError("timeout", `${url} has not answered within ${timeout} ms`, { retry: true, cause }), again: false };
  }
  return { error: new EmitError("network", `${url} cannot be reached: ${messageOf(cause)}`, { retry: true, cause }), again: true };
}
