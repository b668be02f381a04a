import io.socket.client.Ack;
import io.socket.client.IO;
import io.socket.client.Socket;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.util.Collections;
import java.util.concurrent.TimeUnit;
import okhttp3.OkHttpClient;
import org.json.JSONArray;
import org.json.JSONObject;

/**
 * The Socket.IO client of Java and Android: it sends each line of its input to a channel, and prints what it hears and is answered,
 * and when it connects and disconnects.
 *
 * <p>Usage: Chat URL TOKEN CHANNEL [SECONDS], the last between the WebSocket's own pings, which are off without it.
 */
public final class Chat {
  public static void main(String[] args) throws Exception {
    IO.Options options = new IO.Options();
    options.transports = new String[] {"websocket"};
    options.auth = Collections.singletonMap("token", args[1]);
    OkHttpClient http = new OkHttpClient.Builder().pingInterval(args.length > 3 ? Integer.parseInt(args[3]) : 0, TimeUnit.SECONDS).build();
    options.webSocketFactory = http;
    options.callFactory = http;
    Socket socket = IO.socket(URI.create(args[0]), options);
    String channel = args[2];
    socket.on(Socket.EVENT_CONNECT, none -> {
      tell("connected");
      socket.emit("join:channel", new Object[] {channel}, (Ack) reply -> tell("joined", ok(reply)));
    });
    socket.on(Socket.EVENT_DISCONNECT, reason -> tell("disconnected", reason[0]));
    socket.on(Socket.EVENT_CONNECT_ERROR, error -> tell("refused", String.valueOf(error[0])));
    socket.on("message:new", heard -> {
      JSONObject from = ((JSONObject) heard[1]).optJSONObject("from");
      tell("message:new", heard[0], from == null ? JSONObject.NULL : from.opt("userId"));
    });
    socket.connect();
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
    for (String line; (line = in.readLine()) != null; ) {
      JSONObject message = new JSONObject();
      message.put("channelId", channel);
      message.put("content", line);
      socket.emit("message:send", new Object[] {message}, (Ack) reply -> tell("sent", ok(reply)));
    }
    Thread.sleep(500); // for the last answer
    System.exit(0);
  }

  private static boolean ok(Object[] reply) {
    return ((JSONObject) reply[0]).optBoolean("ok");
  }

  private static synchronized void tell(Object... what) {
    JSONArray line = new JSONArray();
    for (Object one : what) line.put(one);
    System.out.println(line);
  }
}
