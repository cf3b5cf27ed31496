import com.sun.net.httpserver.HttpServer;
import java.io.FileInputStream;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Executors;

/** A server that leaves closing to the garbage collector, and on one path keeps what it opened. */
public class Srv {
    static final List<Object> kept = new ArrayList<>();
    static final Random random = new Random();
    static volatile byte[] garbage;

    public static void main(String[] args) throws Exception {
        int waste = Integer.parseInt(args[1]); // bytes of garbage for each request
        HttpServer s = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 200);
        s.setExecutor(Executors.newFixedThreadPool(8));
        s.createContext("/", x -> {
            String p = x.getRequestURI().getPath();
            if (p.equals("/gc") || p.equals("/keep")) {
                FileInputStream f = new FileInputStream("/etc/hostname");
                f.read();
                if (p.equals("/keep")) {
                    synchronized (kept) {
                        kept.add(f);
                    }
                }
            } else if (p.equals("/thread")) {
                Thread t = new Thread(() -> {
                    try {
                        Thread.sleep(1_000_000_000L);
                    } catch (InterruptedException e) {
                        // ends
                    }
                });
                t.setDaemon(true);
                t.start();
            }
            for (int i = 0; i < waste; i += 1000) {
                garbage = new byte[1000];
            }
            x.sendResponseHeaders(200, 3);
            x.getResponseBody().write("ok\n".getBytes());
            x.close();
        });
        s.start();
    }
}
