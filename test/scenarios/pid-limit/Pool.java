public class Pool {
	public static void main(String[] a) {
		for (;;) {
			Thread t = new Thread(() -> { try { Thread.sleep(600000); } catch (InterruptedException e) { } }, "worker");
			t.setDaemon(true);
			t.start();
		}
	}
}
