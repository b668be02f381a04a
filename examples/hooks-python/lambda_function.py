"""An application function in Python: who may join, what may be said, and a call of its own.

On AWS it is a Lambda function like any other. On a laptop:

    bellhop dev --hook join=examples/hooks-python --hook action=examples/hooks-python

or behind a web server of its own, which your editor restarts:

    python3 examples/hooks-python/lambda_function.py
    bellhop dev --hook join=http://127.0.0.1:9000 --hook action=http://127.0.0.1:9000
"""

import random

CLOSED = {"channel:closed"}


def lambda_handler(question, context=None):
    """Answers one question. An exception is never shown to a client."""
    answer = {"action": action, "join": join, "publish": publish}.get(question["hook"])
    return answer(question) if answer else {}


def action(question):
    if question["action"] != "dice:roll":
        return {"deny": {"code": "unknown_action", "message": "there is no such action"}}
    sides = (question.get("data") or {}).get("sides", 6)
    if not isinstance(sides, int) or not 2 <= sides <= 1000:
        return {"deny": {"code": "bad_request", "message": "sides must be 2 to 1000"}}
    return {"data": {"roll": random.randint(1, sides), "sides": sides}}


def join(question):
    if question["room"] in CLOSED:
        return {"deny": {"message": "This channel is closed."}}
    if question["room"].startswith("community:"):
        return {"status": "new here", "statusData": {"joined": question["time"]}}
    return {}


def publish(question):
    data = question.get("data")
    if question["event"] == "message:new" and isinstance(data, dict) and isinstance(data.get("content"), str):
        return {"data": {**data, "content": data["content"].replace(":)", "🙂")}}
    return {}


if __name__ == "__main__":
    import json
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Hooks(BaseHTTPRequestHandler):
        def do_POST(self):
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(lambda_handler(question)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    ThreadingHTTPServer(("127.0.0.1", 9000), Hooks).serve_forever()
