import java.util.ArrayList;
public class Heap {
    public static void main(String[] a) {
        ArrayList<byte[]> all = new ArrayList<>();
        while (true) all.add(new byte[1 << 20]);
    }
}
