// usage: HttpJava LIBRARY URL SCRIPT: makes the script's requests with one of the JDK's clients.
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

public class HttpJava {
    static final HttpClient CLIENT = HttpClient.newBuilder().followRedirects(HttpClient.Redirect.NORMAL).build();

    static HttpRequest request(String url, String method, byte[] body) {
        var publisher = body == null ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofByteArray(body);
        return HttpRequest.newBuilder(URI.create(url)).method(method, publisher).build();
    }

    static String withClient(String url, String method, byte[] body) throws Exception {
        var response = CLIENT.send(request(url, method, body), HttpResponse.BodyHandlers.ofByteArray());
        return response.statusCode() + " " + response.body().length;
    }

    static String withConnection(String url, String method, byte[] body) throws Exception {
        var connection = (HttpURLConnection) new URL(url).openConnection();
        connection.setRequestMethod(method.equals("PATCH") ? "POST" : method); // PATCH is refused by the class
        if (body != null) {
            connection.setDoOutput(true);
            connection.getOutputStream().write(body);
        }
        int status = connection.getResponseCode();
        InputStream stream = status >= 400 ? connection.getErrorStream() : connection.getInputStream();
        return status + " " + (stream == null ? 0 : stream.readAllBytes().length);
    }

    public static void main(String[] arguments) throws Exception {
        boolean client = arguments[0].equals("client");
        String url = arguments[1];
        for (String line : Files.readAllLines(Path.of(arguments[2]))) {
            String[] words = line.split(" ");
            int size = Integer.parseInt(words[2]);
            byte[] body = size == 0 ? null : "x".repeat(size).getBytes();
            String answer = client ? withClient(url + words[1], words[0], body) : withConnection(url + words[1], words[0], body);
            System.out.println(words[0] + " " + words[1] + " " + answer);
        }
        if (client) {
            List<CompletableFuture<HttpResponse<byte[]>>> together = new ArrayList<>();
            for (int number = 0; number < 8; number++) {
                together.add(CLIENT.sendAsync(request(url + "/slow?n=together-" + number, "GET", null), HttpResponse.BodyHandlers.ofByteArray()));
            }
            for (var one : together) {
                System.out.println("together " + one.get().statusCode());
            }
        }
        System.exit(0); // the clients' idle threads would keep the process
    }
}
