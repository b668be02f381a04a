import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

import org.apache.commons.text.StringEscapeUtils;
import org.apache.velocity.VelocityContext;
import org.apache.velocity.app.VelocityEngine;

import com.google.gson.GsonBuilder;
import com.google.gson.reflect.TypeToken;

/** Writes into cases.json what Apache Velocity makes of the templates there. scripts/velocity runs it. */
public class Render {
    /** What of API Gateway's $util is a library's. */
    public static class Util {
        public String escapeJavaScript(Object text) {
            return StringEscapeUtils.escapeEcmaScript(String.valueOf(text));
        }
    }

    public static void main(String[] args) throws Exception {
        Path file = Path.of(args[0]);
        var gson = new GsonBuilder().setPrettyPrinting().disableHtmlEscaping().create();
        List<Map<String, String>> cases = gson.fromJson(Files.readString(file), new TypeToken<List<LinkedHashMap<String, String>>>() {}.getType());
        var engine = new VelocityEngine();
        engine.init();
        for (var one : cases) {
            var context = new VelocityContext();
            context.put("name", "Ana");
            context.put("quoted", "it's \"so\" / \\ \n é 😀");
            context.put("n", 3L);
            context.put("f", 1.5);
            context.put("big", 12345678.0);
            context.put("none", "");
            context.put("yes", true);
            context.put("list", new ArrayList<>(List.of("a", "b", "c")));
            var map = new LinkedHashMap<String, Object>();
            map.put("a", 1L);
            map.put("b", "two");
            context.put("map", map);
            context.put("util", new Util());
            var out = new StringWriter();
            try {
                engine.evaluate(context, out, "case", one.get("template"));
                one.put("output", out.toString());
            } catch (RuntimeException e) {
                one.put("output", "Velocity: " + e.getMessage().lines().findFirst().orElse(""));
            }
        }
        Files.writeString(file, gson.toJson(cases) + "\n");
    }
}
