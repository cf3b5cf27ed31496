public class Read {
    public static void main(String[] a) throws Exception {
        var s = new java.net.Socket("127.0.0.1", 7200);
        s.getOutputStream().write("feed\n".getBytes());
        while (s.getInputStream().read() >= 0) {
        }
    }
}
