public class Dial {
    public static void main(String[] a) throws Exception {
        var s = new java.net.Socket();
        s.connect(new java.net.InetSocketAddress(a[0], Integer.parseInt(a[1])), 1000);
    }
}
