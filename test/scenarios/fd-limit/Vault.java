import java.io.FileInputStream;
import java.util.ArrayList;
import java.util.List;

/** Opens a key file for each request; the streams stay in a cache. */
public class Vault {
    static final List<FileInputStream> CACHE = new ArrayList<>();

    static void unlock(int n) throws Exception {
        CACHE.add(new FileInputStream("/etc/hostname"));
    }

    public static void main(String[] args) throws Exception {
        for (int n = 0; ; n++) unlock(n);
    }
}
