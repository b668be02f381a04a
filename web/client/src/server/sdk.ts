import type { Loaders } from "./aws.js";
import { EmitError, messageOf } from "./errors.js";

/**
 * Imports the packages of the AWS SDK when they are needed, so that programs that do not use AWS need not have them. The imports
 * are inside of try, because bundlers then leave a missing package to the moment of its use.
 */
export const sdk: Loaders = {
  async lambda() {
    try {
      return await import("@aws-sdk/client-lambda");
    } catch (cause) {
      throw missing("@aws-sdk/client-lambda", "lambda", cause);
    }
  },
  async sqs() {
    try {
      return await import("@aws-sdk/client-sqs");
    } catch (cause) {
      throw missing("@aws-sdk/client-sqs", "sqs", cause);
    }
  },
};

function missing(name: string, transport: string, cause: unknown): EmitError {
  return new EmitError("config", `${transport} needs the package ${name}: npm install ${name} (${messageOf(cause)})`, { cause });
}
