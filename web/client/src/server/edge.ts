// What @bellhop/client/server is in edge runtimes. Bundlers for these would otherwise put the AWS SDK into what they build, or warn
// that it is missing, of a program that speaks HTTP alone. Who wants it there hands it over.

import { aws } from "./aws.js";
import { createEmitter } from "./emitter.js";
import { chosen, type Environment } from "./environment.js";
import { EmitError } from "./errors.js";

export * from "./common.js";

const without = (transport: string) => () =>
  Promise.reject(new EmitError("config", `${transport} does not load the AWS SDK by itself in an edge runtime: ` +
    `import * as sdk from "@aws-sdk/client-${transport}", and hand it over as createEmitter(${transport}({ …, sdk }))`));

const made = aws({ lambda: without("lambda"), sqs: without("sqs") });

export const { lambda, sqs } = made;
export const fromEnvironment = (read?: () => Environment) => chosen(made, read);
export const socketEvents = createEmitter(fromEnvironment());
