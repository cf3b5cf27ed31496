import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.*;
public class Index {
	public static void main(String[] a) throws Exception {
		MappedByteBuffer m;
		try (FileChannel c = FileChannel.open(Paths.get("data.bin"), StandardOpenOption.READ)) {
			m = c.map(FileChannel.MapMode.READ_ONLY, 0, c.size());
		}
		System.out.println("serving");
		long end = System.currentTimeMillis() + 20000, sum = 0;
		while (System.currentTimeMillis() < end) {
			for (int i = 0; i < m.limit(); i += 4096) sum += m.get(i);
			Thread.sleep(5);
		}
		System.out.println(sum);
	}
}
