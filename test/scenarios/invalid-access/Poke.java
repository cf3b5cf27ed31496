import java.lang.reflect.Field;

/** Writes through Unsafe to an address that is not mapped; the JVM reports it and aborts. */
public class Poke {
    public static void main(String[] args) throws Exception {
        Field f = Class.forName("sun.misc.Unsafe").getDeclaredField("theUnsafe");
        f.setAccessible(true);
        ((sun.misc.Unsafe) f.get(null)).putLong(64L, 1L);
    }
}
