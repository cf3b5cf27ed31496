public class Serve {
    public static void main(String[] a) throws Exception {
        new java.net.ServerSocket(Integer.parseInt(a[0]), 5, java.net.InetAddress.getByName("127.0.0.1")).accept();
    }
}
