import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** usage: Front PORT: the JDK's own server with a pool of threads. */
public class Front {
    static final String PEER = System.getenv("TEST_PEER");
    static final HttpClient CLIENT = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    static void blocking(String url) throws Exception {
        HttpURLConnection call = (HttpURLConnection) URI.create(url).toURL().openConnection();
        try (InputStream body = call.getInputStream()) {
            body.readAllBytes();
        }
    }

    /** The client's own selector thread does the reading and writing. */
    static void nio(String url) throws Exception {
        CLIENT.send(HttpRequest.newBuilder(URI.create(url)).build(), HttpResponse.BodyHandlers.discarding());
    }

    /** Each call is a step that any of the server's threads takes, and so is the answer. */
    static void inSteps(ExecutorService pool, HttpExchange exchange, String url, int count) {
        CompletableFuture<Void> steps = CompletableFuture.completedFuture(null);
        for (int number = 0; number < count; number++) {
            String called = url + number;
            steps = steps.thenRunAsync(() -> {
                try {
                    blocking(called);
                } catch (Exception error) {
                    throw new RuntimeException(error);
                }
            }, pool);
        }
        steps.thenRun(() -> answer(exchange));
    }

    static void answer(HttpExchange exchange) {
        try (exchange) {
            exchange.sendResponseHeaders(200, 2);
            exchange.getResponseBody().write("ok".getBytes());
        } catch (java.io.IOException error) {
            throw new RuntimeException(error);
        }
    }

    public static void main(String[] arguments) throws Exception {
        HttpServer server = HttpServer.create(
            new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(arguments[0])), 100);
        ExecutorService pool = Executors.newFixedThreadPool(8);
        server.setExecutor(pool);
        server.createContext("/w/", exchange -> {
            String[] parts = exchange.getRequestURI().getPath().split("/");
            if (parts[3].equals("steps")) {
                inSteps(pool, exchange, PEER + "/c/" + parts[2] + "/", Integer.parseInt(parts[4]));
                return;
            }
            try {
                for (int number = 0; number < Integer.parseInt(parts[4]); number++) {
                    String url = PEER + "/c/" + parts[2] + "/" + number;
                    if (parts[3].equals("nio")) {
                        nio(url);
                    } else {
                        blocking(url);
                    }
                }
            } catch (Exception error) {
                throw new java.io.IOException(error);
            }
            answer(exchange);
        });
        server.start();
    }
}
