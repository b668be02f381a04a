// A Lambda runtime for Node.js handlers, by "Using the Lambda runtime API for custom runtimes" and "Define Lambda function handler in
// Node.js" of the AWS Lambda developer guide.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import * as modules from "node:module";
import path from "node:path";
import { pathToFileURL, urlToHttpOptions } from "node:url";

const env = process.env;
const [apiHost, apiPort] = env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new http.Agent({ keepAlive: true });
const request = http.request; // before it is redirected

// call speaks to the Runtime API. There is no timeout: the next invocation may take hours to come.
function call(method, name, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const options = { host: apiHost, port: apiPort, method, path: `/2018-06-01/runtime/${name}`, agent, headers };
    if (body !== undefined) {
      options.headers = { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body), ...headers };
    }
    const req = request(options, (res) => {
      const parts = [];
      res.on("data", (part) => parts.push(part));
      res.on("end", () => resolve({ status: res.statusCode, headers: res.headers, body: Buffer.concat(parts) }));
      res.on("error", reject);
    });
    req.on("error", reject);
    req.end(body);
  });
}

// fault is an error with a type of Lambda's own.
function fault(type, message) {
  const error = new Error(message);
  error.name = type;
  return error;
}

// describe is an error as Lambda shows it. Anything can be thrown.
function describe(error) {
  if (error !== null && typeof error === "object" && (error instanceof Error || "message" in error)) {
    return {
      errorType: String(error.name ?? "Error"),
      errorMessage: String(error.message ?? ""),
      trace: typeof error.stack === "string" ? error.stack.split("\n") : [],
    };
  }
  let text;
  try {
    text = typeof error === "object" ? JSON.stringify(error) : String(error);
  } catch {
    text = String(error);
  }
  return { errorType: typeof error, errorMessage: text, trace: [] };
}

async function fail(name, error) {
  const body = describe(error);
  console.error(body.trace.length > 0 ? body.trace.join("\n") : `${body.errorType}: ${body.errorMessage}`);
  const type = body.errorType.replace(/[^\x21-\x7e]/g, "?");
  await call("POST", name, JSON.stringify(body), { "Lambda-Runtime-Function-Error-Type": type });
}

// load finds "folder/file.method"; the method may be nested: "file.api.get".
async function load() {
  const spec = env._HANDLER;
  const folder = path.dirname(spec);
  const [file, ...names] = path.basename(spec).split(".");
  if (file === "" || names.length === 0 || names.includes("")) {
    throw fault("Runtime.MalformedHandlerName", `Bad handler '${spec}': it is not of the form file.method`);
  }
  const stem = path.resolve(env.LAMBDA_TASK_ROOT, folder, file);
  const found = [".js", ".mjs", ".cjs"].map((ext) => stem + ext).find((name) => fs.existsSync(name));
  if (found === undefined) {
    throw fault("Runtime.ImportModuleError", `Error: Cannot find module '${file}': there is no ${stem}.js, .mjs or .cjs`);
  }
  let module;
  try {
    module = await import(pathToFileURL(found).href);
  } catch (error) {
    throw explain(error, found);
  }
  // Of a CommonJS module, default is all of module.exports; the names that import finds in it may be incomplete.
  const pick = (from) => names.reduce((value, name) => value?.[name], from);
  const handler = pick(module) ?? pick(module.default);
  if (typeof handler !== "function") {
    throw fault("Runtime.HandlerNotFound", `${spec} is undefined or not exported`);
  }
  return handler;
}

// explain gives an error of importing a file Lambda's type for it.
function explain(error, file) {
  let type;
  if (error?.code === "MODULE_NOT_FOUND" || error?.code === "ERR_MODULE_NOT_FOUND") {
    type = "Runtime.ImportModuleError";
  } else if (error instanceof SyntaxError) {
    type = "Runtime.UserCodeSyntaxError";
    // Of a module the error does not say where it is; node says so of a program.
    const place = spawnSync(process.execPath, ["--check", file], { encoding: "utf8" }).stderr?.split("\n").find((line) => /:\d+$/.test(line));
    if (place !== undefined && !String(error.stack).includes(place)) error.stack = `${place}\n${error.stack}`;
  } else {
    return error;
  }
  let message = String(error);
  const sdk = /'(@(?:aws-sdk|smithy)\/[^'/]+|aws-sdk(?=['/]))/.exec(message)?.[1];
  if (sdk === "aws-sdk") {
    message += " (Lambda brings version 3 of the AWS SDK along since nodejs18.x, as @aws-sdk/…, and not aws-sdk: run npm install aws-sdk beside the function, and deploy it with it)";
  } else if (sdk !== undefined) {
    message += ` (Lambda brings it along; here it could not be fetched: run npm install --save-dev ${sdk} beside the function)`;
  }
  const out = fault(type, message);
  out.stack = error.stack;
  return out;
}

// onEmpty is what to do when the event loop runs empty in the middle of an invocation.
let onEmpty = null;
process.on("beforeExit", () => {
  const run = onEmpty;
  onEmpty = null;
  run?.();
});

// invoke runs the handler: an async one, one that returns a promise, or one with a callback.
function invoke(handler, event, context) {
  return new Promise((resolve, reject) => {
    let waits = true;
    let answer = () => resolve(null); // of a function that has nothing left to do and never answered
    let answered = false;
    const settle = (error, value) => (error === null || error === undefined ? resolve(value) : reject(error));
    // As documented: a callback's result is sent when the event loop is empty, unless the function asks otherwise.
    const callback = (error, value) => {
      if (!waits) {
        settle(error, value);
      } else if (!answered) {
        answered = true;
        answer = () => settle(error, value);
      }
    };
    onEmpty = () => answer();
    Object.defineProperty(context, "callbackWaitsForEmptyEventLoop", {
      enumerable: true,
      get: () => waits,
      set: (value) => {
        waits = Boolean(value);
      },
    });
    // The older way to end, which never waits.
    context.done = settle;
    context.succeed = (value) => settle(null, value);
    context.fail = (error) => settle(error ?? fault("Error", "the function failed"));
    const result = handler(event, context, callback);
    if (typeof result?.then === "function") {
      result.then(resolve, reject);
    }
  });
}

function contextOf(headers) {
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  const parse = (text) => (text ? JSON.parse(text) : undefined);
  return {
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: parse(headers["lambda-runtime-client-context"]),
    identity: parse(headers["lambda-runtime-cognito-identity"]),
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

// serve runs one invocation after the other.
async function serve(handler) {
  for (;;) {
    const next = await call("GET", "invocation/next");
    if (next.status !== 200) {
      throw fault("Runtime.Unknown", `next invocation: status ${next.status}`);
    }
    current = next.headers["lambda-runtime-aws-request-id"];
    env._X_AMZN_TRACE_ID = next.headers["lambda-runtime-trace-id"] ?? "";
    try {
      const result = await invoke(handler, JSON.parse(next.body.toString("utf8")), contextOf(next.headers));
      onEmpty = null;
      await call("POST", `invocation/${current}/response`, JSON.stringify(result === undefined ? null : result) ?? "null");
    } catch (error) {
      onEmpty = null;
      await fail(`invocation/${current}/error`, error);
    }
    current = null;
  }
}

// redirect sends requests to some hosts to a server on this machine. rules are [regular expression, base URL].
function redirect(rules) {
  const compiled = rules.map(([pattern, base]) => [new RegExp(pattern, "s"), new URL(base)]);
  const local = new http.Agent({ keepAlive: true });
  const find = (host, port) => {
    const name = String(host).replace(/^\[(.*)\]$/, "$1").toLowerCase();
    return compiled.find(([pattern]) => pattern.test(name) || pattern.test(`${name}:${port}`))?.[1];
  };
  const prefix = (base) => base.pathname.replace(/\/$/, "");

  // withHost makes the header Host that of the server that gets the request. Headers are an object, a list of pairs or a flat list.
  const withHost = (headers, host) => {
    const other = (name) => String(name).toLowerCase() !== "host";
    if (!Array.isArray(headers)) {
      return { ...Object.fromEntries(Object.entries(headers ?? {}).filter(([name]) => other(name))), Host: host };
    }
    if (Array.isArray(headers[0])) {
      return [...headers.filter(([name]) => other(name)), ["Host", host]];
    }
    return [...headers.filter((_, i) => other(headers[i - (i % 2)])), "Host", host];
  };

  const wrap = (module, port) => {
    const original = module.request;
    module.request = (...args) => {
      const rest = [...args];
      const callback = typeof rest.at(-1) === "function" ? rest.pop() : undefined;
      let options = {};
      if (typeof rest[0] === "string" || rest[0] instanceof URL) {
        const url = rest.shift();
        options = urlToHttpOptions(typeof url === "string" ? new URL(url) : url);
      }
      options = { ...options, ...rest[0] };
      const host = options.hostname || options.host || "localhost";
      const base = options.socketPath ? undefined : find(host, options.port || options.defaultPort || port);
      if (base === undefined) {
        return original.apply(module, args);
      }
      for (const name of ["agent", "createConnection", "defaultPort", "servername"]) {
        delete options[name];
      }
      return request(
        {
          ...options,
          protocol: "http:",
          hostname: base.hostname.replace(/^\[(.*)\]$/, "$1"),
          host: undefined,
          port: base.port || 80,
          path: prefix(base) + (options.path ?? "/"),
          headers: withHost(options.headers, base.host),
          agent: local,
        },
        callback,
      );
    };
    module.get = (...args) => {
      const req = module.request(...args);
      req.end();
      return req;
    };
  };
  wrap(http, 80);
  wrap(https, 443);
  modules.syncBuiltinESMExports(); // import { request } from "node:https" sees it as well

  const original = globalThis.fetch;
  globalThis.fetch = async function fetch(input, init) {
    const url = new URL(input instanceof Request ? input.url : String(input));
    const base = find(url.hostname, url.port || (url.protocol === "http:" ? 80 : 443));
    if (base === undefined || !/^https?:$/.test(url.protocol)) {
      return original(input, init);
    }
    const to = base.origin + prefix(base) + url.pathname + url.search;
    if (!(input instanceof Request)) {
      return original(to, init);
    }
    const req = new Request(input, init);
    return original(new Request(to, req), req.body ? { duplex: "half" } : undefined);
  };
}

// bringAlong has import find what Lambda's runtime brings along, where the function has no own. For require, NODE_PATH does so.
function bringAlong(folder) {
  const parent = JSON.stringify(pathToFileURL(path.join(folder, "package.json")).href);
  const hooks = `export async function resolve(name, context, next) {
    try {
      return await next(name, context);
    } catch (error) {
      if (error?.code !== "ERR_MODULE_NOT_FOUND" || !/^(@aws-sdk|@smithy|aws-sdk)(\\/|$)/.test(name)) throw error;
      return next(name, { ...context, parentURL: ${parent} });
    }
  }`;
  modules.register?.(`data:text/javascript,${encodeURIComponent(hooks)}`);
}

// current is the invocation in hand, for failures that come from nowhere.
let current = null;

async function crash(error, code) {
  try {
    if (current !== null) {
      await fail(`invocation/${current}/error`, error);
    } else {
      console.error(error);
    }
  } finally {
    process.exit(code);
  }
}

async function main() {
  if (env._LAMBDA_REDIRECT) {
    redirect(JSON.parse(env._LAMBDA_REDIRECT));
    delete env._LAMBDA_REDIRECT;
  }
  if (env._LAMBDA_SDK) {
    bringAlong(env._LAMBDA_SDK);
    delete env._LAMBDA_SDK;
  }
  let handler;
  try {
    handler = await load();
  } catch (error) {
    await fail("init/error", error);
    process.exit(1);
  }
  process.on("uncaughtException", (error) => void crash(error, 129));
  process.on("unhandledRejection", (error) => {
    const out = fault("Runtime.UnhandledPromiseRejection", describe(error).errorMessage);
    out.stack = error?.stack ?? out.stack;
    void crash(out, 128);
  });
  await serve(handler);
}

main().catch((error) => {
  // The Runtime API is gone: the program that started this one has ended.
  console.error(String(error));
  process.exit(1);
});
