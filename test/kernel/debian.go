package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// debian finds and unpacks packages without installing them. Those of the computer's own
// architecture come by its own package lists. For a foreign one, apt is given lists of its own
// in the cache, from the same sources; the system's configuration is not touched.
type debian struct {
	cache  string
	arch   string
	update bool
}

// cacheDir is $DESCRY_KERNELS, or descry-kernels in $XDG_CACHE_HOME or ~/.cache.
func cacheDir() (string, error) {
	dir := os.Getenv("DESCRY_KERNELS")
	if dir == "" {
		c, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no place for kernels, set DESCRY_KERNELS: %w", err)
		}
		dir = filepath.Join(c, "descry-kernels")
	}
	return filepath.Abs(dir)
}

// target is what it takes to boot one kernel, and to compile for it.
type target struct {
	kernel   kernel
	emulator emulator
	busybox  string // static
	python   []file
	compiler compiler
	builder  *builder
}

func (d debian) target(ctx context.Context, series string) (*target, error) {
	e, err := d.emulator(ctx)
	if err != nil {
		return nil, err
	}
	k, err := d.kernel(ctx, series)
	if err != nil {
		return nil, err
	}
	b, err := d.busybox(ctx)
	if err != nil {
		return nil, err
	}
	py, err := d.python(ctx)
	if err != nil {
		return nil, err
	}
	c, err := d.compiler(ctx)
	if err != nil {
		return nil, err
	}
	return &target{kernel: k, emulator: e, busybox: b, python: py, compiler: c}, nil
}

// kernel is an unpacked kernel package.
type kernel struct {
	version string // "6.1.0-56-cloud-amd64"
	series  string // "6.1"
	arch    string
	image   string // what qemu boots
	dir     string // the unpacked package
}

// kernel returns the newest cloud kernel of a series that the package lists have; where they
// have none, the newest that is in the cache.
func (d debian) kernel(ctx context.Context, series string) (kernel, error) {
	apt, err := d.apt(ctx)
	if err != nil {
		return kernel{}, err
	}
	names, err := output(ctx, "apt-cache", append(apt, "pkgnames", "linux-image-"+series+".")...)
	if err != nil {
		return kernel{}, fmt.Errorf("ask the package lists (this needs a Debian system): %w", err)
	}
	version := newest(strings.Fields(names), "linux-image-", series, d.arch)
	if version == "" {
		unpacked, _ := filepath.Glob(filepath.Join(d.cache, "kernels", "*"))
		for i := range unpacked {
			unpacked[i] = filepath.Base(unpacked[i])
		}
		if version = newest(unpacked, "", series, d.arch); version == "" {
			return kernel{}, fmt.Errorf("the package lists have no linux-image-%s*-cloud-%s, and %s has none: "+
				"run apt-get update first (Debian 12 has 6.1, and 6.12 among its updates)", series, d.arch, d.cache)
		}
		fmt.Fprintf(os.Stderr, "no %s kernel in the package lists, taking %s from the cache (apt-get update would bring the lists)\n", series, version)
	}
	k := kernel{version: version, series: series, arch: d.arch, dir: filepath.Join(d.cache, "kernels", version)}
	if err := d.unpack(ctx, apt, k.dir, "linux-image-"+version); err != nil {
		return kernel{}, err
	}
	k.image = filepath.Join(k.dir, "boot", "vmlinuz-"+version)
	return k, nil
}

// newest picks the highest version of a series out of names like linux-image-6.1.0-56-cloud-amd64.
func newest(names []string, prefix, series, arch string) string {
	re := regexp.MustCompile(`^` + prefix + `(` + regexp.QuoteMeta(series) + `\.[0-9][0-9a-z.+~-]*-cloud-` + arch + `)$`)
	var best string
	for _, n := range names {
		if m := re.FindStringSubmatch(n); m != nil && (best == "" || compareVersions(m[1], best) > 0) {
			best = m[1]
		}
	}
	return best
}

var digits = regexp.MustCompile(`[0-9]+`)

// compareVersions compares by the numbers in order, which is enough within one series.
func compareVersions(a, b string) int {
	number := func(s string) int { n, _ := strconv.Atoi(s); return n }
	return slices.CompareFunc(digits.FindAllString(a, -1), digits.FindAllString(b, -1),
		func(x, y string) int { return cmp.Compare(number(x), number(y)) })
}

// emulator is a qemu and what it needs to run from where it is.
type emulator struct {
	path string
	args []string
	env  []string
}

// emulator returns the system's qemu for the architecture, or unpacks one into the cache.
func (d debian) emulator(ctx context.Context) (emulator, error) {
	var bin, pkg string
	switch d.arch {
	case "amd64":
		bin, pkg = "qemu-system-x86_64", "qemu-system-x86"
	case "arm64":
		bin, pkg = "qemu-system-aarch64", "qemu-system-arm"
	default:
		return emulator{}, fmt.Errorf("architecture %q: only amd64 and arm64 are known", d.arch)
	}
	if p, err := exec.LookPath(bin); err == nil {
		return emulator{path: p}, nil
	}
	root := filepath.Join(d.cache, pkg)
	e := emulator{path: filepath.Join(root, "usr/bin", bin)}
	if _, err := os.Stat(e.path); err != nil {
		// Only what this system lacks; what it has, the unpacked qemu finds there.
		plan, err := output(ctx, "apt-get", "install", "-s", "--no-install-recommends", pkg)
		if err != nil {
			return emulator{}, fmt.Errorf("no %s here, and no package %s to be had (run apt-get update first): %w", bin, pkg, err)
		}
		var names []string
		for line := range strings.Lines(plan) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "Inst" {
				names = append(names, f[1])
			}
		}
		if len(names) == 0 {
			return emulator{}, fmt.Errorf("apt believes %s to be installed, but there is no %s in PATH", pkg, bin)
		}
		if err := d.unpack(ctx, nil, root, names...); err != nil {
			return emulator{}, err
		}
	}
	triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
	lib := filepath.Join(root, "usr/lib", triplet)
	e.env = []string{"LD_LIBRARY_PATH=" + lib + ":" + filepath.Join(root, "lib", triplet), "QEMU_MODULE_DIR=" + filepath.Join(lib, "qemu")}
	e.args = []string{"-L", filepath.Join(root, "usr/share/qemu"), "-L", filepath.Join(root, "usr/share/seabios"), "-L", "/usr/share/qemu"}
	return e, nil
}

// busybox returns the program that is a shell and what a shell needs, in one static file.
func (d debian) busybox(ctx context.Context) (string, error) {
	apt, err := d.apt(ctx)
	if err != nil {
		return "", err
	}
	root := filepath.Join(d.cache, "busybox-"+d.arch)
	if err := d.unpack(ctx, apt, root, "busybox-static"); err != nil {
		return "", err
	}
	return filepath.Join(root, "bin/busybox"), nil
}

// unpack downloads packages and unpacks them into dir, unless that is there. It is whole or
// not there, however often it was interrupted.
func (d debian) unpack(ctx context.Context, apt []string, dir string, names ...string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(d.cache, "unpack")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	fmt.Fprintf(os.Stderr, "fetching %s\n", strings.Join(names, " "))
	// As root apt would want its own user to write here.
	args := append(slices.Clone(apt), "-o", "APT::Sandbox::User=root", "-q", "download")
	cmd := exec.CommandContext(ctx, "apt-get", append(args, names...)...)
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("download %s: %w; a package that is gone means old lists: run apt-get update (-update for another architecture)\n%s",
			strings.Join(names, " "), err, bytes.TrimSpace(out))
	}
	debs, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(debs) == 0 {
		return fmt.Errorf("apt-get download %s left no .deb", strings.Join(names, " "))
	}
	tree := filepath.Join(work, "tree")
	for _, deb := range debs {
		if _, err := output(ctx, "dpkg-deb", "-x", deb, tree); err != nil {
			return fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
		}
	}
	if err := os.Chmod(tree, 0o755); err != nil {
		return err
	}
	if err := os.Rename(tree, dir); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// apt returns the options that make apt speak of d.arch where that is not the system's.
func (d debian) apt(ctx context.Context) ([]string, error) {
	own, err := output(ctx, "dpkg", "--print-architecture")
	if err != nil {
		return nil, fmt.Errorf("this needs a Debian system: %w", err)
	}
	if strings.TrimSpace(own) == d.arch {
		return nil, nil
	}
	state := filepath.Join(d.cache, "apt-"+d.arch)
	lists := filepath.Join(state, "lists")
	for _, dir := range []string{filepath.Join(lists, "partial"), filepath.Join(state, "cache/archives/partial")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	status := filepath.Join(state, "status") // no package of this architecture is installed
	if err := os.WriteFile(status, nil, 0o644); err != nil {
		return nil, err
	}
	opts := []string{
		"-o", "APT::Architecture=" + d.arch, "-o", "APT::Architectures::=" + d.arch,
		"-o", "Dir::State::Lists=" + lists, "-o", "Dir::State::status=" + status, "-o", "Dir::Cache=" + filepath.Join(state, "cache"),
		"-o", "APT::Sandbox::User=root", "-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
		"-o", "Acquire::Languages=none",
	}
	have, _ := filepath.Glob(filepath.Join(lists, "*_binary-"+d.arch+"_Packages*"))
	if len(have) == 0 || d.update {
		fmt.Fprintf(os.Stderr, "fetching the package lists of %s\n", d.arch)
		if _, err := output(ctx, "apt-get", append(slices.Clone(opts), "-q", "update")...); err != nil {
			return nil, fmt.Errorf("fetch the package lists of %s: %w", d.arch, err)
		}
	}
	return opts, nil
}

// output runs a program and returns what it printed; the error has what it complained.
func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		if said := bytes.TrimSpace(complaint.Bytes()); len(said) > 0 {
			return "", fmt.Errorf("%s: %w: %s", name, err, said)
		}
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return out.String(), nil
}
