//! The Socket.IO client of Rust: it sends each line of its input to a channel, and prints what it hears and is answered.
//!
//! Usage: chat URL TOKEN CHANNEL

use rust_socketio::{ClientBuilder, Payload, RawClient, TransportType};
use serde_json::{json, Value};
use std::{env, io::stdin, thread::sleep, time::Duration};

fn main() {
    let args: Vec<String> = env::args().collect();
    let channel = args[3].clone();
    let room = channel.clone();
    let join = move |_: Payload, socket: RawClient| {
        tell(json!(["connected"]));
        let joined = |reply: Payload, _: RawClient| tell(json!(["joined", ok(reply)]));
        socket.emit_with_ack("join:channel", json!(room), PATIENCE, joined).expect("join");
    };
    let heard = |payload: Payload, _: RawClient| {
        if let Payload::Text(args) = payload {
            tell(json!(["message:new", args[0], args[1]["from"]["userId"]]));
        }
    };
    let socket = ClientBuilder::new(args[1].as_str())
        .auth(json!({ "token": args[2] }))
        .transport_type(TransportType::Websocket)
        .on("open", join)
        .on("message:new", heard)
        .on("close", |_, _| tell(json!(["disconnected"])))
        .connect()
        .expect("connect");
    for line in stdin().lines() {
        let message = json!({ "channelId": channel, "content": line.expect("input") });
        let sent = |reply: Payload, _: RawClient| tell(json!(["sent", ok(reply)]));
        socket.emit_with_ack("message:send", message, PATIENCE, sent).expect("send");
    }
    sleep(Duration::from_millis(500)); // for the last answer
    socket.disconnect().expect("disconnect");
}

const PATIENCE: Duration = Duration::from_secs(10);

/// What an ack says; the client wraps its arguments once more.
fn ok(reply: Payload) -> bool {
    let Payload::Text(args) = reply else { return false };
    let first = match &args[0] {
        Value::Array(inner) => &inner[0],
        other => other,
    };
    first["ok"] == true
}

fn tell(line: Value) {
    println!("{line}");
}
