import java.util.*;
public class Heap {
	public static void main(String[] a) {
		List<byte[]> all = new ArrayList<>();
		for (;;) all.add(new byte[1 << 20]);
	}
}
