package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Other versions of descry, whose probes differ from this one's: agents follow each other in the tests.

// probeObject is where the compiled process.bpf.c stands.
func probeObject() (string, error) {
	tools, err := toolsDir()
	if err != nil {
		return "", err
	}
	arch := map[string]string{"amd64": "x86", "arm64": "arm64"}[runtime.GOARCH]
	return filepath.Join(tools, "../../../internal/probe/process_"+arch+"_bpfel.o"), nil
}

// otherBuild makes an overlay with an object that does the same, and is of another build.
func (c *cluster) otherBuild(context.Context) (string, error) {
	object, err := probeObject()
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(object)
	if err != nil {
		return "", err
	}
	return c.overlay("next", object, append(b, make([]byte, 8)...)) // which nothing in it points to
}

// otherShapes makes an overlay with an object whose events are longer, so that the ring cannot go on.
func (c *cluster) otherShapes(ctx context.Context) (string, error) {
	object, err := probeObject()
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(object)
	source, err := os.ReadFile(filepath.Join(dir, "process.bpf.c"))
	if err != nil {
		return "", err
	}
	const last = "	__s64 inotify, inotify_max;"
	if !bytes.Contains(source, []byte(last)) {
		return "", fmt.Errorf("struct exit_event of process.bpf.c has no %q", strings.TrimSpace(last))
	}
	source = bytes.Replace(source, []byte(last), []byte(last+"\n	__u64 of_a_later_version;"), 1)
	work := c.at("later")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return "", err
	}
	changed := filepath.Join(work, "process.bpf.c")
	if err := os.WriteFile(changed, source, 0o644); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "tool", "bpf2go", "-tags", "linux", "-target", runtime.GOARCH, "-no-global-types", "-output-dir", work, "-go-package", "probe",
		"process", changed, "--", "-mcpu=v3", "-I"+dir)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile %s: %w\n%s", changed, err, out)
	}
	b, err := os.ReadFile(filepath.Join(work, filepath.Base(object)))
	if err != nil {
		return "", err
	}
	return c.overlay("later", object, b)
}

// overlay lets go build see other bytes in place of a file.
func (c *cluster) overlay(name, file string, b []byte) (string, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	other, list := c.at(name+".o"), c.at(name+".json")
	if err := os.WriteFile(other, b, 0o644); err != nil {
		return "", err
	}
	j, err := json.Marshal(map[string]map[string]string{"Replace": {file: other}})
	if err != nil {
		return "", err
	}
	return list, os.WriteFile(list, j, 0o644)
}
