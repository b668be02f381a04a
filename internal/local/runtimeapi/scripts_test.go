//go:build unix

package runtimeapi

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const nodeSource = `
import { setTimeout as later } from "node:timers/promises";
let calls = 0;
class RoomError extends Error { name = "RoomError"; }
export const handler = async (event, context) => {
  calls++;
  switch (event.do) {
    case "fail": throw new RoomError("no such room");
    case "text": throw "just text";
    case "object": throw { code: 7 };
    case "later": await later(10); return { calls };
    case "exit": console.error("going away"); process.exit(3);
    case "hang": await later(100000); return {};
    case "empty": await new Promise(() => {}); return {};
    case "nothing": return;
    case "bigint": return 1n;
    case "big": return { text: "x".repeat(event.size), got: event.path?.length };
    case "background": setImmediate(() => { throw new RoomError("out of nowhere"); }); await later(100000); return {};
    case "rejection": Promise.reject(new RoomError("nobody cares")); await later(100000); return {};
    case "describe": return { ...context, left: context.getRemainingTimeInMillis(), trace: process.env._X_AMZN_TRACE_ID, dir: process.cwd(), env: process.env };
    default: return { calls, pid: process.pid };
  }
};
export const api = { rooms: { list: async () => ({ text: "nested" }) } };
export const constant = 7;
`

func TestNode(t *testing.T) {
	cfg := script(t, "nodejs22.x", "index.mjs", nodeSource)
	f := open(t, cfg)

	t.Run("a call is answered, and the process kept", func(t *testing.T) {
		first, second := call[reply](t, f, order{}), call[reply](t, f, order{Do: "later"})
		if first.Calls != 1 || second.Calls != 2 {
			t.Errorf("got %+v, %+v", first, second)
		}
	})
	t.Run("errors", func(t *testing.T) {
		e := wantError(t, f, order{Do: "fail"}, "RoomError", "no such room")
		if !strings.Contains(string(e.Payload), "index.mjs:8") {
			t.Errorf("got %s", e.Payload)
		}
		wantError(t, f, order{Do: "text"}, "string", "just text")
		wantError(t, f, order{Do: "object"}, "object", `{"code":7}`)
		wantError(t, f, order{Do: "bigint"}, "TypeError", "BigInt")
	})
	t.Run("nothing is null", func(t *testing.T) {
		for _, do := range []string{"nothing", "empty"} {
			if got := call[json.RawMessage](t, f, order{Do: do}); string(got) != "null" {
				t.Errorf("%s: got %s", do, got)
			}
		}
	})
	t.Run("all this was one process", func(t *testing.T) {
		if s := f.Stats(); s.Starts != 1 {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("payloads are large, but not too large", func(t *testing.T) {
		const size = 3 << 20
		if got := call[reply](t, f, order{Do: "big", Size: size, Path: strings.Repeat("ü", size/2)}); len(got.Text) != size {
			t.Errorf("got %d bytes", len(got.Text))
		}
		wantError(t, f, order{Do: "big", Size: maxPayload}, "Function.ResponseSizeTooLarge", "")
	})
	t.Run("errors that nobody catches", func(t *testing.T) {
		wantError(t, f, order{Do: "background"}, "RoomError", "out of nowhere")
		wantError(t, f, order{Do: "rejection"}, "Runtime.UnhandledPromiseRejection", "nobody cares")
		wantError(t, f, order{Do: "exit"}, "Runtime.ExitError", "exit status 3\ngoing away")
		call[reply](t, f, order{})
	})
	t.Run("the context", func(t *testing.T) {
		got := call[map[string]any](t, f, order{Do: "describe"})
		for name, want := range map[string]any{
			"functionName": "test", "functionVersion": "$LATEST", "memoryLimitInMB": "128", "invokedFunctionArn": f.cfg.ARN,
			"logGroupName": "/aws/lambda/test", "callbackWaitsForEmptyEventLoop": true, "dir": f.cfg.Dir,
		} {
			if got[name] != want {
				t.Errorf("%s: got %v, want %v", name, got[name], want)
			}
		}
		if left, _ := got["left"].(float64); left <= 0 || left > float64(patience.Milliseconds()) || len(got["awsRequestId"].(string)) != 36 {
			t.Errorf("got %v", got)
		}
		if env, _ := got["env"].(map[string]any); env["AWS_EXECUTION_ENV"] != "AWS_Lambda_nodejs22.x" || !strings.HasPrefix(got["trace"].(string), "Root=1-") {
			t.Errorf("got %v", got)
		}
	})
	t.Run("a timeout", func(t *testing.T) {
		cfg.Timeout = 300 * time.Millisecond
		f := open(t, cfg)
		wantError(t, f, order{Do: "hang"}, "Sandbox.Timedout", "Task timed out after 0.30 seconds")
	})
	t.Run("a nested method", func(t *testing.T) {
		cfg.Handler = "index.api.rooms.list"
		if got := call[reply](t, open(t, cfg), order{}); got.Text != "nested" {
			t.Errorf("got %+v", got)
		}
	})
	for handler, want := range map[string][2]string{
		"index.missing":  {"Runtime.HandlerNotFound", "index.missing is undefined or not exported"},
		"index.constant": {"Runtime.HandlerNotFound", "not exported"},
		"other.handler":  {"Runtime.ImportModuleError", "Cannot find module 'other'"},
		"index..handler": {"Runtime.MalformedHandlerName", "file.method"},
	} {
		t.Run("the handler "+handler, func(t *testing.T) {
			cfg.Handler = handler
			wantError(t, open(t, cfg), order{}, want[0], want[1])
		})
	}
	for source, want := range map[string][2]string{
		`export const handler = async () => {`:                       {"Runtime.UserCodeSyntaxError", "SyntaxError"},
		`import "@aws-sdk/client-dynamodb"; export const handler=1;`: {"Runtime.ImportModuleError", "npm install"},
		`throw new TypeError("at the start")`:                        {"TypeError", "at the start"},
		`process.exit(4)`:                                            {"Runtime.ExitError", "exit status 4"},
	} {
		t.Run("a module that is "+source, func(t *testing.T) {
			wantError(t, open(t, script(t, "nodejs22.x", "index.mjs", source)), order{}, want[0], want[1])
		})
	}
}

// TestNodeModules is about the forms that a handler may have.
func TestNodeModules(t *testing.T) {
	const tail = `
exports.handler = (event, context, callback) => {
  if (event.do === "quick") { context.callbackWaitsForEmptyEventLoop = false; setTimeout(() => {}, 100000).unref(); setTimeout(() => {}, 3000); callback(null, { text: "quick" }); return; }
  if (event.do === "fail") { callback(new RangeError("by callback")); return; }
  if (event.do === "throw") throw new RangeError("thrown");
  if (event.do === "old") { context.succeed({ text: "old" }); return; }
  if (event.do === "ignored") return { text: "ignored" };
  let text = "early";
  setTimeout(() => { text = "late"; state.text = text; }, 30);
  const state = { text };
  callback(null, state);
};`
	t.Run("CommonJS with a callback", func(t *testing.T) {
		f := open(t, script(t, "nodejs22.x", "index.js", "const os = require('node:os');"+tail))
		if got := call[reply](t, f, order{}); got.Text != "late" { // the event loop was empty first
			t.Errorf("got %+v", got)
		}
		begin := time.Now()
		if got := call[reply](t, f, order{Do: "quick"}); got.Text != "quick" || time.Since(begin) > 2*time.Second {
			t.Errorf("got %+v after %v", got, time.Since(begin))
		}
		if got := call[reply](t, f, order{Do: "old"}); got.Text != "old" {
			t.Errorf("got %+v", got)
		}
		wantError(t, f, order{Do: "throw"}, "RangeError", "thrown")
	})
	t.Run("what a callback handler returns is ignored", func(t *testing.T) {
		f := open(t, script(t, "nodejs22.x", "index.cjs", tail))
		if got := call[json.RawMessage](t, f, order{Do: "ignored"}); string(got) != "null" {
			t.Errorf("got %s", got)
		}
		wantError(t, f, order{Do: "fail"}, "RangeError", "by callback")
	})
	t.Run("module.exports that is put together at run time", func(t *testing.T) {
		f := open(t, script(t, "nodejs22.x", "index.js", `module.exports = Object.fromEntries([["handler", () => Promise.resolve({ text: "dynamic" })]]);`))
		if got := call[reply](t, f, order{}); got.Text != "dynamic" {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("an ES module by package.json, in a folder", func(t *testing.T) {
		cfg := script(t, "nodejs22.x", "package.json", `{"type":"module"}`)
		if err := os.MkdirAll(filepath.Join(cfg.Dir, "src", "v1"), 0o700); err != nil {
			t.Fatal(err)
		}
		source := `const text = await Promise.resolve("module"); export const run = async () => ({ text });`
		if err := os.WriteFile(filepath.Join(cfg.Dir, "src", "v1", "app.js"), []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg.Handler = "src/v1/app.run"
		if got := call[reply](t, open(t, cfg), order{}); got.Text != "module" {
			t.Errorf("got %+v", got)
		}
	})
}

const pythonSource = `
import itertools, json, logging, os, sys, threading, time
logging.getLogger().setLevel(logging.INFO)
numbers = itertools.count(1)

class RoomError(Exception):
    pass

def handler(event, context):
    calls = next(numbers)
    do = event["do"]
    if do == "fail":
        raise RoomError("no such room")
    if do == "exit":
        print("going away", file=sys.stderr)
        sys.exit(3)
    if do == "hang":
        time.sleep(100)
    if do == "nothing":
        return None
    if do == "set":
        return {1, 2}
    if do == "big":
        return {"text": "x" * event["size"]}
    if do == "log":
        logging.info("hello %s", "ana")
        print("ünïcode")
    if do == "describe":
        names = ("function_name", "function_version", "memory_limit_in_mb", "invoked_function_arn", "log_group_name", "aws_request_id")
        out = {n: getattr(context, n) for n in names}
        return dict(out, left=context.get_remaining_time_in_millis(), dir=os.getcwd(), env=dict(os.environ), trace=os.environ["_X_AMZN_TRACE_ID"])
    return {"calls": calls, "pid": os.getpid()}
constant = 7
`

func TestPython(t *testing.T) {
	cfg := script(t, "python3.13", "index.py", pythonSource)
	log := &lines{}
	cfg.Logger = log.logger()
	f := open(t, cfg)

	t.Run("a call is answered, and the process kept", func(t *testing.T) {
		first, second := call[reply](t, f, order{}), call[reply](t, f, order{})
		if first.Calls != 1 || second.Calls != 2 || first.Pid != second.Pid {
			t.Errorf("got %+v, %+v", first, second)
		}
	})
	t.Run("errors", func(t *testing.T) {
		e := wantError(t, f, order{Do: "fail"}, "RoomError", "no such room")
		if !strings.Contains(string(e.Payload), `index.py\", line 13`) || strings.Contains(string(e.Payload), pythonScript) {
			t.Errorf("got %s", e.Payload)
		}
		wantError(t, f, order{Do: "set"}, "Runtime.MarshalError", "not JSON serializable")
		if got := call[json.RawMessage](t, f, order{Do: "nothing"}); string(got) != "null" {
			t.Errorf("got %s", got)
		}
		if s := f.Stats(); s.Starts != 1 {
			t.Errorf("got %+v", s)
		}
		wantError(t, f, order{Do: "big", Size: maxPayload}, "Function.ResponseSizeTooLarge", "")
		const size = 3 << 20
		if got := call[reply](t, f, order{Do: "big", Size: size, Path: strings.Repeat("ü", size/2)}); len(got.Text) != size {
			t.Errorf("got %d bytes", len(got.Text))
		}
		wantError(t, f, order{Do: "exit"}, "Runtime.ExitError", "exit status 3")
		call[reply](t, f, order{})
	})
	t.Run("logging works as on Lambda", func(t *testing.T) {
		call[reply](t, f, order{Do: "log"})
		eventually(t, "lines are missing", func() bool {
			return strings.Contains(log.String(), "hello ana") && strings.Contains(log.String(), "[INFO]") && strings.Contains(log.String(), "ünïcode")
		})
	})
	t.Run("the context", func(t *testing.T) {
		got := call[map[string]any](t, f, order{Do: "describe"})
		for name, want := range map[string]any{
			"function_name": "test", "function_version": "$LATEST", "memory_limit_in_mb": "128", "invoked_function_arn": f.cfg.ARN,
			"log_group_name": "/aws/lambda/test", "dir": f.cfg.Dir,
		} {
			if got[name] != want {
				t.Errorf("%s: got %v, want %v", name, got[name], want)
			}
		}
		if left, _ := got["left"].(float64); left <= 0 || left > float64(patience.Milliseconds()) || !strings.HasPrefix(got["trace"].(string), "Root=1-") {
			t.Errorf("got %v", got)
		}
	})
	t.Run("a timeout", func(t *testing.T) {
		cfg.Timeout = 300 * time.Millisecond
		wantError(t, open(t, cfg), order{Do: "hang"}, "Sandbox.Timedout", "Task timed out after 0.30 seconds")
	})
	for handler, want := range map[string][2]string{
		"index.missing":  {"Runtime.HandlerNotFound", "Handler 'missing' missing on module 'index'"},
		"index.constant": {"Runtime.HandlerNotFound", "missing"},
		"other.handler":  {"Runtime.ImportModuleError", "Unable to import module 'other'"},
		".handler":       {"Runtime.MalformedHandlerName", "module.function"},
	} {
		t.Run("the handler "+handler, func(t *testing.T) {
			cfg.Handler = handler
			wantError(t, open(t, cfg), order{}, want[0], want[1])
		})
	}
	for source, want := range map[string][2]string{
		"def handler(:":                    {"Runtime.UserCodeSyntaxError", "index"},
		"import boto3_is_not_here":         {"Runtime.ImportModuleError", "boto3_is_not_here"},
		"raise ValueError('at the start')": {"ValueError", "at the start"},
		"import os; os._exit(4)":           {"Runtime.ExitError", "exit status 4"},
	} {
		t.Run("a module that is "+source, func(t *testing.T) {
			wantError(t, open(t, script(t, "python3.13", "index.py", source)), order{}, want[0], want[1])
		})
	}
	t.Run("a module in a folder", func(t *testing.T) {
		cfg := script(t, "python3.13", "helper.py", "text = 'folder'")
		if err := os.MkdirAll(filepath.Join(cfg.Dir, "src", "v1"), 0o700); err != nil {
			t.Fatal(err)
		}
		source := "import helper\ndef run(event, context):\n    return {'text': helper.text}\n"
		if err := os.WriteFile(filepath.Join(cfg.Dir, "src", "v1", "app.py"), []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg.Handler = "src/v1/app.run"
		if got := call[reply](t, open(t, cfg), order{}); got.Text != "folder" {
			t.Errorf("got %+v", got)
		}
	})
}

// post is a request that a handler of the redirect tests makes.
type post struct {
	By  string `json:"by"`
	URL string `json:"url"`
}

// redirected makes the requests of ways to several hosts and checks what arrives, and what does not.
func redirected(t *testing.T, cfg Config, ways []string) {
	t.Helper()
	addr, requests := local(t)
	cfg.Redirect = map[string]string{
		"*.execute-api.*.amazonaws.com":       "http://" + addr,
		"special.execute-api.*.amazonaws.com": "http://" + addr + "/prefix/",
		"127.0.0.1:1":                         "http://" + addr, // what an event's domainName can be
	}
	f := open(t, cfg)
	const path = "/dev/@connections/abc%3D?a=b%20c"
	for _, by := range ways {
		for base, want := range map[string]string{
			"https://x1.execute-api.eu-west-1.amazonaws.com":      path,
			"http://x1.execute-api.eu-west-1.amazonaws.com":       path,
			"https://x1.execute-api.eu-west-1.amazonaws.com:8443": path,
			"https://special.execute-api.eu-west-1.amazonaws.com": "/prefix" + path,
			"https://127.0.0.1:1":                                 path,
		} {
			before := len(requests())
			var status int
			if err := json.Unmarshal([]byte(string(call[json.RawMessage](t, f, post{by, base + path}))), &status); err != nil {
				t.Fatal(err)
			}
			all := requests()
			if status != 418 || len(all) != before+1 {
				t.Errorf("%s %s: got status %d, %d requests", by, base, status, len(all)-before)
				continue
			}
			got := all[before]
			if got.Method != http.MethodPost || got.Path != want || got.Host != addr || got.Body != "hello" || got.Header.Get("X-Test") != "1" {
				t.Errorf("%s %s: got %+v", by, base, got)
			}
		}
		before := len(requests())
		wantError(t, f, post{by, "http://127.0.0.1:9/"}, "Refused", "") // others are left alone
		if got := len(requests()); got != before {
			t.Errorf("%s: a request to another host arrived", by)
		}
	}
	if got := call[string](t, f, post{"env", ""}); got != "" {
		t.Errorf("the rules are left in the environment: %s", got)
	}
}

func TestRedirectNode(t *testing.T) {
	redirected(t, script(t, "nodejs22.x", "index.mjs", `
import https, { request as named } from "node:https";
import http from "node:http";
import { createRequire } from "node:module";
const require = createRequire(import.meta.url);
const agent = new https.Agent({ keepAlive: true });
const send = (make) => new Promise((resolve, reject) => {
  const req = make((res) => { res.resume(); res.on("end", () => resolve(res.statusCode)); });
  req.on("error", reject);
  req.end("hello");
});
const headers = { "X-Test": "1", Host: "as.signed.example", "Content-Length": "5" };
const method = "POST";
const ways = {
  url: (u) => send((cb) => (u.protocol === "http:" ? http.request : named)(u, { method, headers }, cb)),
  text: (u) => send((cb) => (u.protocol === "http:" ? require("http") : require("https")).request(u.href, { method, headers }, cb)),
  // as the AWS SDK does
  options: (u) => send((cb) => (u.protocol === "http:" ? http : https).request(
    { host: u.hostname, port: u.port || undefined, path: u.pathname + u.search, method, headers, agent: u.protocol === "http:" ? undefined : agent }, cb)),
  pairs: (u) => send((cb) => (u.protocol === "http:" ? http : https).request(
    { hostname: u.hostname, port: u.port, path: u.pathname + u.search, method, headers: Object.entries(headers).flat() }, cb)),
  fetch: async (u) => (await fetch(u, { method, body: "hello", headers: { "X-Test": "1" } })).status,
  fetchText: async (u) => (await fetch(u.href, { method, body: "hello", headers: { "X-Test": "1" } })).status,
  fetchRequest: async (u) => (await fetch(new Request(u, { method, body: "hello", headers: { "X-Test": "1" } }))).status,
};
class Refused extends Error { name = "Refused"; }
export const handler = async ({ by, url }) => {
  if (by === "env") return process.env._LAMBDA_REDIRECT ?? "";
  try {
    return await ways[by](new URL(url));
  } catch (error) {
    if ((error.cause ?? error).code === "ECONNREFUSED" || (error.cause ?? error).message === "bad port") throw new Refused();
    throw error;
  }
};
`), []string{"url", "text", "options", "pairs", "fetch", "fetchText", "fetchRequest"})
}

func TestRedirectPython(t *testing.T) {
	ways := []string{"urllib_request", "http_client", "own_class"}
	cfg := script(t, "python3.13", "index.py", `
import http.client, os, urllib.error, urllib.request
from urllib.parse import urlsplit
headers = {"X-Test": "1"}

class Refused(Exception):
    pass

def urllib_request(url):
    try:
        return urllib.request.urlopen(urllib.request.Request(url, b"hello", headers, method="POST")).status
    except urllib.error.HTTPError as e:
        return e.code

def by_class(plain, secure, url):
    u = urlsplit(url)
    c = (plain if u.scheme == "http" else secure)(u.hostname, u.port, timeout=5)
    c.request("POST", u.path + ("?" + u.query if u.query else ""), b"hello", dict(headers, Host="as.signed.example"))
    return c.getresponse().status

def http_client(url):
    return by_class(http.client.HTTPConnection, http.client.HTTPSConnection, url)

class Own(http.client.HTTPSConnection):
    """Connects by itself, as urllib3 does."""
    def connect(self):
        raise Refused()

def own_class(url):
    return by_class(http.client.HTTPConnection, Own, url)

def urllib3(url):
    import urllib3
    return urllib3.PoolManager(retries=False).request("POST", url, body=b"hello", headers=headers).status

def handler(event, context):
    if event["by"] == "env":
        return os.environ.get("_LAMBDA_REDIRECT", "")
    if event["by"] == "has":
        try:
            import urllib3
            return True
        except ImportError:
            return False
    try:
        return globals()[event["by"]](event["url"])
    except Exception as e:
        if "refused" in str(e):
            raise Refused() from e
        raise
`)
	if call[bool](t, open(t, cfg), post{"has", ""}) {
		ways = append(ways, "urllib3")
	}
	redirected(t, cfg, ways)
}

// TestSyntaxErrorHasItsPlace: a handler that cannot be read is told by file and line.
func TestSyntaxErrorHasItsPlace(t *testing.T) {
	for name, text := range map[string]string{
		"index.mjs": "export const a = 1\nexport const handler = async () => {\n  return {{\n}\n",
		"index.cjs": "exports.a = 1\nexports.handler = async () => {\n  return {{\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			e := wantError(t, open(t, script(t, "nodejs22.x", name, text)), order{}, "Runtime.UserCodeSyntaxError", "SyntaxError")
			if !strings.Contains(string(e.Payload), name+":3") {
				t.Errorf("got %s", e.Payload)
			}
		})
	}
}
