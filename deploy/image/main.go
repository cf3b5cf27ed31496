// Image builds the container image of descry without a daemon: an OCI layout in a tar, for several architectures, with nothing
// in it but the command. The same sources, version and Go give the same bytes.
//
//	go run ./deploy/image -o bin/descry-image.tar
//	ctr -n k8s.io images import bin/descry-image.tar
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type options struct {
	out, name, version, revision string
	archs                        []string
	created                      time.Time
}

func main() {
	o := options{}
	var archs string
	flag.StringVar(&o.out, "o", "bin/descry-image.tar", "`FILE` to write")
	flag.StringVar(&o.name, "name", "ghcr.io/descry-dev/descry", "`REPOSITORY` of the image")
	flag.StringVar(&o.version, "version", "", "the image's tag, and what descry version says (default: git describe)")
	flag.StringVar(&archs, "arch", "amd64,arm64", "architectures")
	flag.Parse()
	o.archs = strings.Split(archs, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := do(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func do(ctx context.Context, o options) error {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected %q", flag.Arg(0))
	}
	if o.version == "" {
		o.version = git(ctx, "describe", "--tags", "--always", "--dirty")
	}
	if o.version == "" {
		o.version = "unknown"
	}
	o.revision = git(ctx, "rev-parse", "HEAD")
	o.created = time.Unix(0, 0).UTC()
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		epoch = git(ctx, "log", "-1", "--format=%ct")
	}
	if n, err := strconv.ParseInt(epoch, 10, 64); err == nil {
		o.created = time.Unix(n, 0).UTC()
	}
	work, err := os.MkdirTemp("", "descry-image")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	var images []image
	for _, arch := range o.archs {
		binary := filepath.Join(work, "descry-"+arch)
		if err := build(ctx, arch, o.version, binary); err != nil {
			return err
		}
		b, err := os.ReadFile(binary)
		if err != nil {
			return err
		}
		images = append(images, image{arch: arch, binary: b})
	}
	if err := os.MkdirAll(filepath.Dir(o.out), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(o.out), ".image-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	digest, err := writeLayout(f, o, images)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", o.out, err)
	}
	if err := os.Rename(f.Name(), o.out); err != nil {
		return err
	}
	fmt.Printf("%s:%s %s (%s) in %s\n", o.name, tag(o.version), digest, strings.Join(o.archs, ", "), o.out)
	return nil
}

// build makes the static command for one architecture.
func build(ctx context.Context, arch, version, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X github.com/descry-dev/descry/internal/version.Version="+version,
		"-o", out, "github.com/descry-dev/descry/cmd/descry")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build descry for %s: %w\n%s", arch, err, b)
	}
	return nil
}

func git(ctx context.Context, args ...string) string {
	out, err := exec.CommandContext(ctx, "git", args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// tag makes a version a tag, which has fewer characters to choose from.
func tag(version string) string {
	t := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '-'
	}, version)
	t = strings.TrimLeft(t, ".-")
	return t[:min(len(t), 128)]
}
