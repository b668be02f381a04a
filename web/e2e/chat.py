"""A client that is not JavaScript: it sends each line of its input to a channel, and prints what it hears and is answered.

Usage: chat.py URL TOKEN CHANNEL
"""

import json
import sys

import socketio

url, token, channel = sys.argv[1:]
client = socketio.Client()


def tell(*what):
    print(json.dumps(what), flush=True)


@client.on("*")
def heard(event, data, meta, *_):
    tell(event, data, meta.get("from", {}).get("userId"))


client.connect(url, auth={"token": token}, transports=["websocket"])
tell("joined", client.call("join:channel", channel)["ok"])
for line in sys.stdin:
    tell("sent", client.call("message:send", {"channelId": channel, "content": line.strip()})["ok"])
client.disconnect()
