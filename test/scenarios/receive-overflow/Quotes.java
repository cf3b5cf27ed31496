// Quotes over UDP, each stored before the next is read.
import java.net.*;

public class Quotes {
    public static void main(String[] args) throws Exception {
        DatagramSocket s = new DatagramSocket(null);
        s.setReceiveBufferSize(4096);
        s.bind(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])));
        System.out.println("ready");
        byte[] b = new byte[2048];
        for (int next = 0;; next++) {
            DatagramPacket p = new DatagramPacket(b, b.length);
            s.receive(p);
            int seq = Integer.parseInt(new String(b, 0, p.getLength()).split(" ")[0]);
            if (seq != next)
                throw new IllegalStateException("packets lost: expected " + next + ", got " + seq);
            Thread.sleep(4);
        }
    }
}
