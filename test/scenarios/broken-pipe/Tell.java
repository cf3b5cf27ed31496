/** System.out swallows errors; this program looks for them and leaves without a word. */
public class Tell {
    public static void main(String[] a) {
        for (long n = 0; !System.out.checkError(); n++) System.out.println("line " + n);
        System.exit(18);
    }
}
