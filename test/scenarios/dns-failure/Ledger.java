import java.net.Socket;

class Ledger {
  public static void main(String[] args) throws Exception {
    System.out.println("opening ledger");
    try (Socket s = new Socket(args[0], 9042)) {
      System.out.println("open at " + s.getRemoteSocketAddress());
    }
  }
}
