import type { Aws } from "./aws.js";
import { EmitError } from "./errors.js";
import { http } from "./http.js";
import type { Transport } from "./transport.js";

/** The variables that {@link fromEnvironment} reads. */
export interface Environment {
  /** Name or ARN of the emit function: it is invoked. Wins over the others. */
  BELLHOP_EMIT_FUNCTION?: string | undefined;
  /** URL of the emit queue: commands are sent to it. */
  BELLHOP_EMIT_QUEUE_URL?: string | undefined;
  /** Where `bellhop dev` is. http://127.0.0.1:4000, but not in production. */
  BELLHOP_ENDPOINT?: string | undefined;
  NODE_ENV?: string | undefined;
  /** Set by Lambda, where nobody runs `bellhop dev`, and NODE_ENV often is not set. */
  AWS_LAMBDA_FUNCTION_NAME?: string | undefined;
}

const LOCAL = "http://127.0.0.1:4000";

/** Written out one by one, because some bundlers for the edge replace `process.env.NAME` and know no `process`. */
function variables(): Environment {
  try {
    return {
      BELLHOP_EMIT_FUNCTION: process.env.BELLHOP_EMIT_FUNCTION,
      BELLHOP_EMIT_QUEUE_URL: process.env.BELLHOP_EMIT_QUEUE_URL,
      BELLHOP_ENDPOINT: process.env.BELLHOP_ENDPOINT,
      NODE_ENV: process.env.NODE_ENV,
      AWS_LAMBDA_FUNCTION_NAME: process.env.AWS_LAMBDA_FUNCTION_NAME,
    };
  } catch {
    return { NODE_ENV: "production" }; // no environment, no guesses
  }
}

function choose(env: Environment, { lambda, sqs }: Aws): Transport {
  const { BELLHOP_EMIT_FUNCTION: functionName, BELLHOP_EMIT_QUEUE_URL: queueUrl, BELLHOP_ENDPOINT: endpoint } = env;
  if (functionName) return lambda({ functionName });
  if (queueUrl) return sqs({ queueUrl });
  if (endpoint) return http({ endpoint });
  if (env.NODE_ENV !== "production" && !env.AWS_LAMBDA_FUNCTION_NAME) return http({ endpoint: LOCAL });
  throw new EmitError("config", "set BELLHOP_EMIT_FUNCTION to the name of the emit function, or BELLHOP_EMIT_QUEUE_URL to the URL of " +
    "the emit queue (the outputs EmitFunctionName and EmitQueueUrl of the stack); in production there is no default");
}

/** A transport that environment variables choose; AWS by those given. */
export function chosen(aws: Aws, read: () => Environment = variables): Transport {
  let transport: Transport | undefined;
  const get = () => (transport ??= choose(read(), aws));
  return {
    get answers() {
      return get().answers;
    },
    send: async (commands, signal) => get().send(commands, signal),
  };
}
