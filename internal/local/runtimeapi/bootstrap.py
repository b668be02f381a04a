"""A Lambda runtime for Python handlers.

By "Using the Lambda runtime API for custom runtimes" and "Define Lambda function handler in Python" of the AWS Lambda developer guide.
"""

import http.client
import importlib
import json
import logging
import os
import re
import socket
import sys
import time
import traceback
from urllib.parse import urlsplit

JSON_TYPE = {"Content-Type": "application/json"}


class Fault(Exception):
    """An error with a type of Lambda's own."""

    def __init__(self, kind, message, stack=()):
        super().__init__(message)
        self.kind = kind
        self.stack = list(stack)


class Client:
    """The Runtime API."""

    def __init__(self, address):
        # There is no timeout: the next invocation may take hours to come.
        self.connection = http.client.HTTPConnection(address)

    def call(self, method, name, body=None, headers=None):
        self.connection.request(method, "/2018-06-01/runtime/" + name, body, headers or {})
        response = self.connection.getresponse()
        return response.status, response.headers, response.read()

    def fail(self, name, error, request_id=""):
        body = describe(error)
        body["requestId"] = request_id
        print("[ERROR] {}: {}\n{}".format(body["errorType"], body["errorMessage"], "".join(body["stackTrace"])), file=sys.stderr)
        kind = re.sub(r"[^\x21-\x7e]", "?", body["errorType"])
        headers = dict(JSON_TYPE, **{"Lambda-Runtime-Function-Error-Type": kind})
        self.call("POST", name, json.dumps(body).encode(), headers)


class Context:
    """What a handler gets as its second argument."""

    def __init__(self, headers):
        environ = os.environ
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.function_name = environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = Record({}, "cognito_identity_id", "cognito_identity_pool_id")
        self.client_context = client_context(headers.get("Lambda-Runtime-Client-Context"))
        self._deadline = int(headers["Lambda-Runtime-Deadline-Ms"])

    def get_remaining_time_in_millis(self):
        return max(0, self._deadline - int(time.time() * 1000))

    def log(self, message):
        sys.stdout.write(str(message))


class Record:
    """Named values, None where there is none."""

    def __init__(self, values, *names):
        for name in names:
            setattr(self, name, values.get(name))


def client_context(text):
    if not text:
        return None
    values = json.loads(text)
    out = Record(values, "custom", "env")
    names = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")
    out.client = Record(values.get("client") or values.get("Client") or {}, *names)
    return out


def describe(error):
    """An error as Lambda shows it, without the frames of this file."""
    if isinstance(error, Fault):
        return {"errorMessage": str(error), "errorType": error.kind, "stackTrace": error.stack}
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__ and not f.filename.startswith("<frozen ")]
    return {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": traceback.format_list(frames)}


def load(spec):
    """Find "folder/module.function"."""
    module_name, dot, name = spec.rpartition(".")
    if not dot or not module_name or not name:
        raise Fault("Runtime.MalformedHandlerName", "Bad handler '{}': it is not of the form module.function".format(spec))
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        message = "Unable to import module '{}': {}".format(module_name, error)
        if (error.name or "").split(".")[0] in ("boto3", "botocore"):
            message += " (Lambda brings boto3 along; here it could not be fetched: run pip install boto3)"
        raise Fault("Runtime.ImportModuleError", message, describe(error)["stackTrace"]) from error
    except SyntaxError as error:
        message = "Syntax error in module '{}': {}".format(module_name, error)
        raise Fault("Runtime.UserCodeSyntaxError", message, ['  File "{}" Line {}\n'.format(error.filename, error.lineno)]) from error
    handler = getattr(module, name, None)
    if not callable(handler):
        raise Fault("Runtime.HandlerNotFound", "Handler '{}' missing on module '{}'".format(name, module_name))
    return handler


def marshal(result):
    try:
        return json.dumps(result).encode()
    except (TypeError, ValueError) as error:
        raise Fault("Runtime.MarshalError", "Unable to marshal response: {}".format(error)) from error


class LogLine(logging.Formatter):
    """Log lines as Lambda has them."""

    converter = time.gmtime
    request_id = ""

    def format(self, record):
        record.aws_request_id = self.request_id
        return super().format(record)


def set_up_logging():
    # Functions rely on the root logger having a handler: logging.getLogger().setLevel(logging.INFO) is enough on Lambda.
    form = LogLine("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s", "%Y-%m-%dT%H:%M:%S")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(form)
    logging.getLogger().addHandler(handler)
    return form


def redirect(rules, own):
    """Send requests to some hosts to a server on this machine.

    rules are [regular expression, base URL]. Whatever speaks HTTP by a subclass of http.client.HTTPConnection is covered: urllib,
    urllib3, requests, boto3. A subclass that connects in its own way is wrapped when it is defined.
    """
    compiled = [(re.compile(pattern, re.S), urlsplit(base)) for pattern, base in rules]
    plain = http.client.HTTPConnection

    def find(connection):
        host = getattr(connection, "_tunnel_host", None) or connection.host
        port = getattr(connection, "_tunnel_port", None) or connection.port
        name = str(host).strip("[]").lower()
        full = "{}:{}".format(name, port)
        if full == own:
            return None
        return next((base for pattern, base in compiled if pattern.match(name) or pattern.match(full)), None)

    def wrap(cls):
        original = cls.__dict__.get("connect")
        if original is None:
            return

        def connect(self):
            base = find(self)
            if base is None:
                return original(self)
            self.sock = socket.create_connection((base.hostname, base.port or 80), self.timeout)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.is_verified = True  # urllib3 would warn otherwise
            return None

        cls.connect = connect

    def wrap_all(cls):
        wrap(cls)
        for sub in cls.__subclasses__():
            wrap_all(sub)

    put_request, put_header = plain.putrequest, plain.putheader

    def putrequest(self, method, url, *args, **kwargs):
        base = find(self)
        if base is not None:
            parts = urlsplit(url)
            if parts.scheme and parts.netloc:  # the absolute form, for a proxy that is not asked now
                url = (parts.path or "/") + ("?" + parts.query if parts.query else "")
            url = base.path + url
        return put_request(self, method, url, *args, **kwargs)

    def putheader(self, header, *values):
        name = header.decode("latin-1") if isinstance(header, bytes) else header
        if name.lower() == "host":
            base = find(self)
            if base is not None:
                values = (base.netloc,)
        return put_header(self, header, *values)

    wrap_all(plain)
    plain.putrequest, plain.putheader = putrequest, putheader
    plain.__init_subclass__ = classmethod(lambda cls, **kwargs: wrap(cls))


def main():
    own = os.environ["AWS_LAMBDA_RUNTIME_API"]
    client = Client(own)
    rules = os.environ.pop("_LAMBDA_REDIRECT", "")
    if rules:
        redirect(json.loads(rules), own)
    sys.path[0] = os.environ["LAMBDA_TASK_ROOT"]
    sdk = os.environ.pop("_LAMBDA_SDK", "")
    if sdk:
        sys.path.append(sdk)  # what Lambda brings along, where the function has no own
    log_line = set_up_logging()
    try:
        handler = load(os.environ["_HANDLER"])
    except Exception as error:
        client.fail("init/error", error)
        sys.exit(1)
    while True:
        status, headers, body = client.call("GET", "invocation/next")
        if status != 200:
            sys.exit("next invocation: status {}".format(status))
        log_line.request_id = request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        os.environ["_X_AMZN_TRACE_ID"] = headers.get("Lambda-Runtime-Trace-Id", "")
        try:
            out = marshal(handler(json.loads(body), Context(headers)))
        except Exception as error:
            client.fail("invocation/{}/error".format(request_id), error, request_id)
        else:
            client.call("POST", "invocation/{}/response".format(request_id), out, JSON_TYPE)


if __name__ == "__main__":
    try:
        main()
    except (ConnectionError, http.client.HTTPException) as gone:
        # The Runtime API is gone: the program that started this one has ended.
        sys.exit(str(gone))
