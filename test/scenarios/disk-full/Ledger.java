import java.io.*;

public class Ledger {
    public static void main(String[] args) throws IOException {
        try (OutputStream out = new FileOutputStream(args[0])) {
            byte[] page = new byte[8192];
            for (int i = 0; i < 1000; i++) out.write(page);
        }
    }
}
