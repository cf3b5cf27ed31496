/** Null pointers in hot code: the JVM finds them by SIGSEGV, catches it, and goes on in health. */
public class Healthy {
    static int len(String s) { return s.length(); }
    public static void main(String[] a) {
        int caught = 0;
        for (int i = 0; i < 60000; i++) {
            try { len(i % 100 == 0 ? null : "abc"); } catch (NullPointerException e) { caught++; }
        }
        System.out.println("caught " + caught);
        if (a.length > 0) System.exit(Integer.parseInt(a[0]));
    }
}
