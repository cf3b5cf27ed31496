import java.io.*;

public class Conf {
    public static void main(String[] args) throws IOException {
        try (Reader in = new FileReader(args[0])) { in.read(); }
    }
}
