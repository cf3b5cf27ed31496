import java.nio.file.*;

public class Key {
    public static void main(String[] args) throws Exception {
        Files.readAllBytes(Path.of(args[0]));
    }
}
