import java.nio.channels.FileChannel;
import java.nio.file.*;
import java.util.*;
public class Direct {
	public static void main(String[] a) throws Exception {
		Path p = Paths.get("seg");
		Files.write(p, new byte[1]);
		List<Object> all = new ArrayList<>();
		try (FileChannel c = FileChannel.open(p, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
			for (;;) all.add(c.map(FileChannel.MapMode.READ_WRITE, 0, 1 << 28));
		}
	}
}
