package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
)

// Images that the node has. There is no registry.
const (
	pauseImage = "local.test/pause:1"
	loadImage  = "local.test/load:1"
)

var busyboxNames = []string{"sh", "cat", "ls", "ps", "sleep", "echo", "stat", "grep", "id", "mount", "head", "tail", "wget", "kill", "dd", "true", "false", "date", "mkdir", "rm", "seq", "tr", "od"}

// buildImages makes the images of pods: a pause, and a load with a shell.
func (c *cluster) buildImages(ctx context.Context) error {
	work, err := os.MkdirTemp("", "descry-images")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	for _, p := range []struct{ out, pkg string }{{"pause/pause", "./test/cluster/pause"}, {"load/bin/load", "./test/cluster/load"}} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(work, p.out), module+p.pkg[2:])
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", p.pkg, err, out)
		}
	}
	root := filepath.Join(work, "load")
	for _, dir := range []string{"tmp", "etc", "usr/bin", "proc", "sys"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	box, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "bin/busybox"), box, 0o755); err != nil {
		return err
	}
	for _, name := range busyboxNames {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"), 0o644); err != nil {
		return err
	}
	if err := os.MkdirAll(c.images(), 0o755); err != nil {
		return err
	}
	if err := writeImage(filepath.Join(c.images(), "pause.tar"), pauseImage, "/pause", filepath.Join(work, "pause")); err != nil {
		return err
	}
	return writeImage(filepath.Join(c.images(), "load.tar"), loadImage, "/bin/load", root)
}

const module = "github.com/descry-dev/descry/"

// writeImage packs a folder as an image of one layer, in the form of docker save. What is in it alone
// decides its bytes.
func writeImage(out, name, entry, dir string) error {
	var layer bytes.Buffer
	if err := writeLayer(&layer, dir); err != nil {
		return fmt.Errorf("pack %s: %w", dir, err)
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": []string{entry}, "Env": []string{"PATH=/bin:/usr/bin"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + sum(layer.Bytes())}},
	})
	if err != nil {
		return err
	}
	configName := sum(config) + ".json"
	manifest, err := json.Marshal([]any{map[string]any{"Config": configName, "RepoTags": []string{name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	var image bytes.Buffer
	w := tar.NewWriter(&image)
	for _, f := range []struct {
		name string
		b    []byte
	}{{"manifest.json", manifest}, {configName, config}, {"layer.tar", layer.Bytes()}} {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.b))}); err != nil {
			return err
		}
		if _, err := w.Write(f.b); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(out, image.Bytes(), 0o644)
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func writeLayer(out *bytes.Buffer, dir string) error {
	w := tar.NewWriter(out)
	var paths []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if path != dir {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(paths)
	for _, path := range paths {
		st, err := os.Lstat(path)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		h := &tar.Header{Name: rel, Mode: int64(st.Mode().Perm()), Typeflag: tar.TypeReg, Size: st.Size()}
		var b []byte
		switch {
		case st.IsDir():
			h.Typeflag, h.Size, h.Name = tar.TypeDir, 0, rel+"/"
			if rel == "tmp" {
				h.Mode = 0o1777
			}
		case st.Mode()&fs.ModeSymlink != 0:
			h.Typeflag, h.Size = tar.TypeSymlink, 0
			if h.Linkname, err = os.Readlink(path); err != nil {
				return err
			}
		default:
			if b, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return w.Close()
}
