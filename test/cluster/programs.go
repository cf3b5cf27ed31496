package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// programLayers are shared by the images of programs below. Each is made of files of this machine.
var programLayers = []struct {
	name string
	fill func(*programs, tree) error
}{
	{"base", (*programs).base},
	{"own", (*programs).own},
	{"python", (*programs).python},
	{"node", (*programs).node},
	{"java", (*programs).java},
	{"servers", (*programs).servers},
}

// programImages are real programs from packages of Debian, and with each those of test/scenarios in /opt.
var programImages = []struct {
	name   string
	layers []string
}{
	{"local.test/c:1", []string{"base", "own"}},
	{"local.test/go:1", []string{"base", "own"}},
	{"local.test/python:3", []string{"base", "own", "python"}},
	{"local.test/node:1", []string{"base", "own", "node"}},
	{"local.test/java:17", []string{"base", "own", "java"}},
	{"local.test/servers:1", []string{"base", "own", "servers"}},
}

// compiled are the programs of test/scenarios that the pods run and that a compiler makes.
var compiled = []string{
	"assertion/check.c", "assertion/own.c", "broken-pipe/peer.c", "disk-full/report.c", "exit-error/quiet.c", "fd-leak/meter.c",
	"fd-limit/catalogue.c", "fd-limit/mute.c", "fd-limit/survives.c", "invalid-access/child.c", "invalid-access/null.c",
	"killed/idle.c", "mapping-limit/pieces.c", "memory-corruption/double_free.c", "memory-corruption/top_chunk.c", "memory-limit/hog.c",
	"seccomp/jail.c", "select-overflow/dynamic.c", "select-overflow/relay_struct.c", "shutdown-timeout/deaf.c", "stack-overflow/parser.c", "stdio-replaced/mixed_up.c",
	"connect-failure/godatabase", "disk-full/gostore", "exit-error/gofatal", "fd-limit/gofetch", "file-missing/goconf", "killed/goidle",
	"permission/gokey", "pid-limit/gothreads", "stack-overflow/godeep", "uncaught-error/gocrash",
	"invalid-access/Healthy.java", "stack-overflow/Deep.java", "uncaught-error/Books.java",
}

// programs builds the images; what compilers made is kept in dir.
type programs struct {
	ctx       context.Context
	dir       string
	scenarios string
}

func (c *cluster) programsTar() string { return filepath.Join(c.images(), "programs", "programs.tar") }

// buildPrograms makes one archive of all images of programs, if anything that they are made of has changed.
func (c *cluster) buildPrograms(ctx context.Context) error {
	tools, err := toolsDir()
	if err != nil {
		return err
	}
	p := &programs{ctx, filepath.Join(c.dir, "programs"), filepath.Join(tools, "../../scenarios")}
	h := sha256.New()
	layers := map[string]tree{}
	for _, l := range programLayers {
		t := tree{}
		if err := l.fill(p, t); err != nil {
			return fmt.Errorf("gather the layer %s of the images of programs: %w", l.name, err)
		}
		layers[l.name] = t
		if err := t.stamp(h); err != nil {
			return err
		}
	}
	fmt.Fprint(h, programImages)
	stamp, out := hex.EncodeToString(h.Sum(nil)), c.programsTar()
	if b, _ := os.ReadFile(out + ".stamp"); string(b) == stamp {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	if err := writeImages(out, layers); err != nil {
		return fmt.Errorf("write the images of programs: %w", err)
	}
	return os.WriteFile(out+".stamp", []byte(stamp), 0o644)
}

func (p *programs) base(t tree) error {
	for _, dir := range []string{"bin", "sbin", "lib", "lib32", "lib64"} {
		if to, err := os.Readlink("/" + dir); err == nil {
			t[dir] = entry{link: to}
		}
	}
	for path, mode := range map[string]fs.FileMode{"tmp": fs.ModeDir | fs.ModeSticky | 0o777, "proc": fs.ModeDir | 0o755, "sys": fs.ModeDir | 0o755, "work": fs.ModeDir | 0o777} {
		t[path] = entry{mode: mode}
	}
	t["etc/passwd"] = entry{text: "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n", mode: 0o644}
	t["etc/group"] = entry{text: "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n", mode: 0o644}
	t["etc/nsswitch.conf"] = entry{text: "hosts: files dns\n", mode: 0o644}
	t["etc/shop.key"] = entry{text: "secret\n", mode: 0o600}
	for _, name := range []string{"sh", "bash", "cat", "cp", "dd", "sleep", "seq", "head", "mkdir", "rm", "ls", "kill", "env", "true", "false", "prlimit", "setpriv", "ps", "touch", "timeout"} {
		if err := t.program(name); err != nil {
			return err
		}
	}
	libs, err := filepath.Glob("/lib/*-linux-gnu/libnss_*.so.2")
	if err != nil {
		return err
	}
	for _, lib := range libs {
		if err := t.add(lib); err != nil {
			return err
		}
	}
	return nil
}

// own are the programs of test/scenarios: scripts as they are, and what was compiled.
func (p *programs) own(t tree) error {
	scripts := []string{".py", ".js", ".sh"}
	if err := t.folder(p.scenarios, "opt", func(path string) bool { return slices.Contains(scripts, filepath.Ext(path)) }); err != nil {
		return err
	}
	if err := t.folder(filepath.Join(p.scenarios, "../cluster/programs"), "opt/cluster", func(string) bool { return true }); err != nil {
		return err
	}
	var packages []string
	for _, file := range compiled {
		switch filepath.Ext(file) {
		case ".c":
			out, err := p.compileC(file)
			if err != nil {
				return err
			}
			t["opt/"+strings.TrimSuffix(file, ".c")] = entry{from: out, mode: 0o755}
			if err := t.libraries(out); err != nil {
				return err
			}
		case "":
			packages = append(packages, file)
		}
	}
	out := filepath.Join(p.dir, "go") + "/"
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	args := []string{"build", "-o", out}
	for _, file := range packages {
		args = append(args, "./"+file)
		t["opt/"+file] = entry{from: out + filepath.Base(file), mode: 0o755}
	}
	return p.run(p.scenarios, "go", args...)
}

func (p *programs) run(dir, name string, args ...string) error {
	cmd := exec.CommandContext(p.ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

// compileC compiles as test/scenarios does: the first line may hold flags.
func (p *programs) compileC(file string) (string, error) {
	src, err := os.ReadFile(filepath.Join(p.scenarios, file))
	if err != nil {
		return "", err
	}
	flags := "-O1"
	first, _, _ := strings.Cut(string(src), "\n")
	if _, f, ok := strings.Cut(first, "flags:"); ok {
		flags = f
	}
	dir := filepath.Join(p.dir, sum(append(src, flags...))[:16])
	out := filepath.Join(dir, strings.TrimSuffix(filepath.Base(file), ".c"))
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	args := []string{"-w", "-g", "-o", out, file}
	return out, p.run(p.scenarios, "gcc", append(args, strings.Fields(flags)...)...)
}

// python is Debian's, whatever else PATH has.
func (p *programs) python(t tree) error {
	real, err := filepath.EvalSymlinks("/usr/bin/python3")
	if err != nil {
		return fmt.Errorf("find Debian's Python: %w", err)
	}
	version := filepath.Base(real)
	for _, name := range []string{version + "-minimal", "lib" + version + "-minimal", "lib" + version + "-stdlib"} {
		if err := t.pkg(name); err != nil {
			return err
		}
	}
	return t.program("/usr/bin/python3")
}

// node is Node.js, whose own modules Debian's build has in files.
func (p *programs) node(t tree) error {
	for _, module := range []string{"acorn", "acorn-walk", "cjs-module-lexer", "minimatch", "undici"} {
		dir := "/usr/share/nodejs/" + module
		if _, err := os.Stat(dir); err != nil {
			continue // another's build has them inside
		}
		if err := t.folder(dir, dir[1:], func(string) bool { return true }); err != nil {
			return err
		}
	}
	return t.program("node")
}

// java is a runtime of the base module alone.
func (p *programs) java(t tree) error {
	javac, err := exec.LookPath("javac")
	if err != nil {
		return fmt.Errorf("the images need Java's compiler: %w", err)
	}
	if javac, err = filepath.EvalSymlinks(javac); err != nil {
		return err
	}
	home := filepath.Dir(filepath.Dir(javac))
	jre := filepath.Join(p.dir, "jre-"+sum([]byte(home))[:8])
	if _, err := os.Stat(filepath.Join(jre, "release")); err != nil {
		if err := os.MkdirAll(p.dir, 0o755); err != nil {
			return err
		}
		if err := p.run(p.dir, filepath.Join(home, "bin/jlink"), "--add-modules", "java.base,jdk.unsupported", "--strip-java-debug-attributes", "--no-man-pages", "--no-header-files", "--output", jre); err != nil {
			return err
		}
	}
	if err := t.folder(jre, "usr/lib/jvm/java", func(path string) bool { return !strings.Contains(path, "/legal/") }); err != nil {
		return err
	}
	t["usr/bin/java"] = entry{link: "../lib/jvm/java/bin/java"}
	libs, err := filepath.Glob(filepath.Join(jre, "lib/*.so"))
	if err != nil {
		return err
	}
	for _, lib := range append(libs, filepath.Join(jre, "bin/java"), filepath.Join(jre, "lib/server/libjvm.so")) {
		if err := t.libraries(lib); err != nil {
			return err
		}
	}
	for path := range t { // what java finds beside itself, ldd finds in the build's folder
		if strings.HasPrefix("/"+path, p.dir) {
			delete(t, path)
		}
	}
	return p.classes(t)
}

func (p *programs) classes(t tree) error {
	for _, file := range compiled {
		if filepath.Ext(file) != ".java" {
			continue
		}
		src, err := os.ReadFile(filepath.Join(p.scenarios, file))
		if err != nil {
			return err
		}
		dir := filepath.Join(p.dir, sum(append(src, file...))[:16])
		if classes, _ := filepath.Glob(filepath.Join(dir, "*.class")); classes == nil {
			if err := p.run(p.scenarios, "javac", "-nowarn", "-XDignore.symbol.file", "-d", dir, file); err != nil {
				return err
			}
		}
		if err := t.folder(dir, "opt/"+filepath.Dir(file), func(string) bool { return true }); err != nil {
			return err
		}
	}
	return nil
}

func (p *programs) servers(t tree) error {
	for _, name := range []string{"redis-server", "redis-cli", "nginx"} {
		if err := t.program(name); err != nil {
			return err
		}
	}
	for path, mode := range map[string]fs.FileMode{"var/lib/nginx": fs.ModeDir | 0o777, "var/log/nginx": fs.ModeDir | 0o777} {
		t[path] = entry{mode: mode}
	}
	return nil
}

// writeImages writes all images into one archive, in the form of docker save; each layer is in it once.
func writeImages(out string, layers map[string]tree) error {
	f, err := os.Create(out + ".new")
	if err != nil {
		return err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	put := func(name string, b []byte) error {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(b))}); err != nil {
			return err
		}
		_, err := w.Write(b)
		return err
	}
	sums := map[string]string{}
	for _, l := range programLayers {
		if sums[l.name], err = writeLayerFile(w, filepath.Dir(out), l.name, layers[l.name]); err != nil {
			return err
		}
	}
	var manifest []any
	for _, image := range programImages {
		var diffs, files []string
		for _, l := range image.layers {
			diffs, files = append(diffs, "sha256:"+sums[l]), append(files, l+".tar")
		}
		config, err := json.Marshal(map[string]any{
			"architecture": runtime.GOARCH, "os": "linux",
			"config": map[string]any{"Cmd": []string{"/bin/sh"}, "WorkingDir": "/work", "Env": []string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONUNBUFFERED=1", "IMAGE=" + image.name}},
			"rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
		})
		if err != nil {
			return err
		}
		name := sum(config) + ".json"
		if err := put(name, config); err != nil {
			return err
		}
		manifest = append(manifest, map[string]any{"Config": name, "RepoTags": []string{image.name}, "Layers": files})
	}
	b, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	if err := put("manifest.json", b); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.Rename(out+".new", out)
}

// writeLayerFile packs a layer to a file first: an archive wants to know its length.
func writeLayerFile(w *tar.Writer, dir, name string, t tree) (string, error) {
	f, err := os.CreateTemp(dir, "layer")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	digest, err := t.write(f)
	if err != nil {
		return "", fmt.Errorf("layer %s: %w", name, err)
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	if err := w.WriteHeader(&tar.Header{Name: name + ".tar", Mode: 0o644, Size: size}); err != nil {
		return "", err
	}
	_, err = io.Copy(w, f)
	return digest, err
}
