// One thread writes to its client, another watches that the first gets on.
import java.net.*;

public class Feed {
    static volatile long beat;

    public static void main(String[] args) throws Exception {
        ServerSocket l = new ServerSocket(Integer.parseInt(args[0]), 5, InetAddress.getLoopbackAddress());
        System.out.println("ready");
        Socket c = l.accept();
        c.getInputStream().read();
        Thread t = new Thread(() -> {
            try {
                byte[] b = new byte[65536];
                while (true) {
                    c.getOutputStream().write(b);
                    beat++;
                }
            } catch (Exception e) {
            }
        });
        t.setDaemon(true);
        t.start();
        long last = -1;
        for (int same = 0; same < 40; Thread.sleep(100)) {
            same = beat == last ? same + 1 : 0;
            last = beat;
        }
        System.err.println("publisher is stuck: no record was sent to the subscriber for 4 s");
        Runtime.getRuntime().halt(7);
    }
}
