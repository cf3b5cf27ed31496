import java.io.*;
import java.net.*;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.*;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.*;

public class X {
    static List<Object> kept = new ArrayList<>();

    public static void main(String[] a) throws Exception {
        switch (a[0]) {
        case "open": new FileInputStream(a[1]).read(); break;
        case "nio": Files.readAllBytes(Paths.get(a[1])); break;
        case "fill": {
            var f = new FileOutputStream(a[1]);
            for (;;) f.write(new byte[65536]);
        }
        case "many": for (;;) kept.add(new FileInputStream("/dev/null"));
        case "mkdir": Files.createDirectory(Paths.get(a[1])); break;
        case "chmod": Files.setPosixFilePermissions(Paths.get(a[1]), PosixFilePermissions.fromString("rwxrwxrwx")); break;
        case "connect": new Socket(a[1], Integer.parseInt(a[2])); break;
        case "dial": SocketChannel.open(new InetSocketAddress(a[1], Integer.parseInt(a[2]))); break;
        case "talk": {
            var s = new Socket(a[1], Integer.parseInt(a[2]));
            s.getOutputStream().write("hello\n".getBytes());
            s.getInputStream().read();
            s.getInputStream().read();
            break;
        }
        case "listen": new ServerSocket(Integer.parseInt(a[2]), 5, InetAddress.getByName(a[1])); break;
        case "exec": new ProcessBuilder(a[1]).start(); break;
        case "big": new ProcessBuilder("/bin/true", "x".repeat(4000000)).start(); break;
        case "spawn":
            for (;;) {
                var t = new Thread(() -> { try { Thread.sleep(3000); } catch (InterruptedException e) { } });
                t.setDaemon(true);
                t.start();
            }
        case "fork": for (;;) kept.add(new ProcessBuilder("sleep", "3").start());
        case "memory":
            try (var f = FileChannel.open(Paths.get("/proc/self/exe"))) {
                var big = FileChannel.open(Files.createTempFile("x", "x"), StandardOpenOption.READ, StandardOpenOption.WRITE, StandardOpenOption.DELETE_ON_CLOSE);
                for (;;) kept.add(big.map(FileChannel.MapMode.READ_WRITE, 0, 1 << 30));
            }
        case "pipe": {
            var f = new FileOutputStream(FileDescriptor.out);
            for (;;) f.write(new byte[65536]);
        }
        }
    }
}
