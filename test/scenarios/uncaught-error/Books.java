import java.util.List;

public class Books {
    static String title(List<String> shelf, int n) { return shelf.get(n); }
    public static void main(String[] a) {
        try { title(List.of("x"), 1); }
        catch (IndexOutOfBoundsException e) { throw new IllegalStateException("shelf 9 cannot be read", e); }
    }
}
