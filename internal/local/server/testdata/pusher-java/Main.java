import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.regex.Pattern;

/** A function in Java: it pushes to whoever sent it something, by the addresses that an event gives. */
public class Main {
  static final HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

  public static void main(String[] args) throws Exception {
    String invocation = "http://" + System.getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/";
    while (true) {
      var next = client.send(HttpRequest.newBuilder(URI.create(invocation + "next")).build(), BodyHandlers.ofString());
      String id = next.headers().firstValue("Lambda-Runtime-Aws-Request-Id").orElseThrow();
      String answer = "{\"statusCode\":200}";
      String path = invocation + id + "/response";
      try {
        handle(next.body());
      } catch (Exception e) {
        answer = "{\"errorMessage\":\"" + e.toString().replace('"', '\'') + "\",\"errorType\":\"Error\"}";
        path = invocation + id + "/error";
      }
      post(path, answer);
    }
  }

  static void handle(String event) throws Exception {
    String region = System.getenv("AWS_REGION");
    for (String host : new String[] {of(event, "domainName"), of(event, "apiId") + ".execute-api." + region + ".amazonaws.com"}) {
      String connection = of(event, "connectionId").replace("=", "%3D");
      int status = post("https://" + host + "/" + of(event, "stage") + "/@connections/" + connection, host);
      if (status != 200) throw new IllegalStateException(host + " answered " + status);
    }
  }

  static int post(String url, String body) throws Exception {
    var request = HttpRequest.newBuilder(URI.create(url)).POST(HttpRequest.BodyPublishers.ofString(body)).build();
    return client.send(request, BodyHandlers.discarding()).statusCode();
  }

  static String of(String event, String key) {
    var found = Pattern.compile("\"" + key + "\":\"([^\"]+)\"").matcher(event);
    if (!found.find()) throw new IllegalStateException("no " + key);
    return found.group(1);
  }
}
