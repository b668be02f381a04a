from chalice import Chalice

app = Chalice(app_name="chat")
app.experimental_feature_flags.update(["WEBSOCKETS"])


@app.on_ws_connect()
def connect(event):
    pass


@app.on_ws_message()
def message(event):
    return {"body": event.body}


@app.on_ws_disconnect()
def disconnect(event):
    pass
