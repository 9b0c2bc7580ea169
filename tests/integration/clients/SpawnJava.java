// usage: SpawnJava COMMAND...: runs it twenty times and prints the sum of the exit statuses.
public class SpawnJava {
    public static void main(String[] arguments) throws Exception {
        int sum = 0;
        for (int i = 0; i < 20; i++) {
            Process process = new ProcessBuilder(arguments).inheritIO().start();
            sum += process.waitFor();
        }
        System.out.println(sum);
    }
}
