import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;

/** usage: Pools PORT: what requests hand to other threads in the JDK's ways. */
public class Pools {
    static final String PEER = System.getenv("TEST_PEER");
    static final ExecutorService POOL = Executors.newFixedThreadPool(3);
    static final ScheduledExecutorService TIMED = Executors.newScheduledThreadPool(2);
    static final LinkedBlockingQueue<String> TOLD = new LinkedBlockingQueue<>();
    static final AtomicInteger OWN = new AtomicInteger();
    static boolean beats;

    static void call(String name, int number) {
        try {
            HttpURLConnection call =
                (HttpURLConnection) URI.create(PEER + "/c/" + name + "/" + number).toURL().openConnection();
            try (InputStream body = call.getInputStream()) {
                body.readAllBytes();
            }
        } catch (IOException error) {
            throw new RuntimeException(error);
        }
    }

    static void callForNobody() {
        call("bg" + OWN.getAndIncrement(), 0);
    }

    static void answer(HttpExchange exchange) {
        try (exchange) {
            exchange.sendResponseHeaders(200, 2);
            exchange.getResponseBody().write("ok".getBytes());
        } catch (IOException error) {
            throw new RuntimeException(error);
        }
    }

    static void start(Runnable code) {
        Thread thread = new Thread(code);
        thread.setDaemon(true);
        thread.start();
    }

    static void futures(String name, int count) throws Exception {
        List<Future<?>> all = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            int own = number;
            all.add(POOL.submit(() -> call(name, own)));
        }
        for (Future<?> one : all) {
            one.get();
        }
    }

    static CompletableFuture<Void> later(String name, int number) {
        return CompletableFuture.runAsync(() -> call(name, number));
    }

    /** False: another thread answers. */
    static boolean work(HttpExchange exchange, String mode, String name, int count) throws Exception {
        switch (mode) {
        case "pool":
            futures(name, count);
            break;
        case "joined":
            for (int number = 0; number < count; number++) {
                later(name, number).join();
            }
            break;
        case "all":
            CompletableFuture.allOf(IntStream.range(0, count).mapToObj(number -> later(name, number))
                .toArray(CompletableFuture[]::new)).join();
            break;
        case "parallel":
            IntStream.range(0, count).parallel().forEach(number -> call(name, number));
            break;
        case "delayed":
            TIMED.schedule(() -> {
                for (int number = 0; number < count; number++) {
                    call(name, number);
                }
                answer(exchange);
            }, 3, TimeUnit.MILLISECONDS);
            return false;
        case "handed":
            POOL.submit(() -> {
                for (int number = 0; number < count; number++) {
                    call(name, number);
                }
                answer(exchange);
            });
            return false;
        case "told":
            TOLD.put(name);
            futures(name, count);
            break;
        case "beat":
            if (!beats) {
                beats = true;
                TIMED.scheduleAtFixedRate(Pools::callForNobody, 5, 5, TimeUnit.MILLISECONDS);
            }
            futures(name, count);
            break;
        default:
            throw new IllegalArgumentException(mode);
        }
        return true;
    }

    /** Calls for four requests at a time. */
    static void collect() {
        try {
            while (true) {
                for (int number = 0; number < 4; number++) {
                    TOLD.take();
                }
                callForNobody();
            }
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
    }

    public static void main(String[] arguments) throws Exception {
        HttpServer server = HttpServer.create(
            new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(arguments[0])), 100);
        server.setExecutor(Executors.newFixedThreadPool(8));
        start(Pools::collect);
        server.createContext("/w/", exchange -> {
            String[] parts = exchange.getRequestURI().getPath().split("/");
            try {
                if (work(exchange, parts[3], parts[2], Integer.parseInt(parts[4]))) {
                    answer(exchange);
                }
            } catch (Exception error) {
                throw new IOException(error);
            }
        });
        server.start();
    }
}
