/** Prints a stack trace that it handled and leaves with a code of its own. */
public class Handled {
    public static void main(String[] a) {
        try { Integer.parseInt("seven"); } catch (NumberFormatException e) { e.printStackTrace(); }
        System.err.println("3 of 4 files converted");
        System.exit(2);
    }
}
