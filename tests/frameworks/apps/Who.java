import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;

public class Who {
    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(System.getenv("PORT"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.createContext("/who", exchange -> {
            String query = exchange.getRequestURI().getQuery();
            try {
                Thread.sleep(query == null ? 0 : Long.parseLong(query.substring("ms=".length())));
            } catch (InterruptedException interrupted) {
                throw new IllegalStateException(interrupted);
            }
            String text = "{\"instance\":\"" + System.getenv("NODE_APP_INSTANCE") + "\",\"pid\":"
                + ProcessHandle.current().pid() + "}";
            byte[] body = text.getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }
}
