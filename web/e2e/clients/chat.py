"""A client that is not JavaScript: it sends each line of its input to a channel, and prints what it hears and is answered.

Usage: chat.py URL TOKEN CHANNEL [TRANSPORT…]
"""

import json
import sys

import socketio

url, token, channel, *transports = sys.argv[1:]
client = socketio.Client()


def tell(*what):
    print(json.dumps(what), flush=True)


@client.event
def connect():
    tell("connected")
    client.emit("join:channel", channel, callback=lambda reply: tell("joined", reply["ok"]))


@client.event
def disconnect(*_):
    tell("disconnected")


@client.event
def connect_error(why):
    tell("refused", why)


@client.on("message:new")
def heard(data, meta, *_):
    tell("message:new", data, meta.get("from", {}).get("userId"))


@client.on("sure?")
def asked(data):
    return {"yes": data["n"] + 1}


client.connect(url, auth={"token": token}, transports=transports or ["websocket"])
for line in sys.stdin:
    tell("sent", client.call("message:send", {"channelId": channel, "content": line.strip()})["ok"])
client.disconnect()
