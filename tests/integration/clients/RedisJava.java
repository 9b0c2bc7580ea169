// usage: RedisJava HOST PORT SCRIPT: speaks RESP over a plain Socket: one by one, then a pipeline.
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;

public class RedisJava {
    static byte[] encode(String... words) throws IOException {
        var bytes = new ByteArrayOutputStream();
        bytes.write(("*" + words.length + "\r\n").getBytes());
        for (String word : words) {
            bytes.write(("$" + word.length() + "\r\n" + word + "\r\n").getBytes());
        }
        return bytes.toByteArray();
    }

    static String line(InputStream input) throws IOException {
        var text = new StringBuilder();
        int c;
        while ((c = input.read()) != '\r') {
            text.append((char) c);
        }
        input.read();
        return text.toString();
    }

    static String reply(InputStream input) throws IOException {
        String first = line(input);
        char kind = first.charAt(0);
        if (kind == '$' && !first.equals("$-1")) {
            int length = Integer.parseInt(first.substring(1));
            String text = new String(input.readNBytes(length));
            input.readNBytes(2);
            return text.length() > 200 ? text.length() + " characters" : text;
        }
        if (kind == '*' && !first.equals("*-1")) {
            var text = new StringBuilder("[");
            for (int left = Integer.parseInt(first.substring(1)); left > 0; left--) {
                text.append(reply(input)).append(' ');
            }
            return text.append(']').toString();
        }
        return first;
    }

    public static void main(String[] arguments) throws Exception {
        try (var socket = new Socket(arguments[0], Integer.parseInt(arguments[1]))) {
            var input = new BufferedInputStream(socket.getInputStream());
            var output = socket.getOutputStream();
            for (String text : Files.readAllLines(Path.of(arguments[2]))) {
                String[] words = text.split(" ");
                for (int i = 0; i < words.length; i++) {
                    if (words[i].startsWith("@")) {
                        words[i] = "x".repeat(Integer.parseInt(words[i].substring(1)));
                    }
                }
                output.write(encode(words));
                System.out.println(words[0] + " " + reply(input));
            }
            var pipeline = new ByteArrayOutputStream();
            for (int number = 0; number < 100; number++) {
                pipeline.write(encode("SET", "p:" + number, "" + number));
            }
            pipeline.write(encode("MULTI"));
            pipeline.write(encode("INCR", "t"));
            pipeline.write(encode("EXEC"));
            output.write(pipeline.toByteArray());
            for (int number = 0; number < 103; number++) {
                System.out.println(reply(input));
            }
        }
    }
}
