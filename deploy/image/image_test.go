package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func laid(t *testing.T, version string) ([]byte, string) {
	t.Helper()
	var out bytes.Buffer
	digest, err := writeLayout(&out, options{name: "example.test/descry", version: version, revision: "abc", created: time.Unix(1, 0).UTC()},
		[]image{{"amd64", []byte("for amd64")}, {"arm64", []byte("for arm64")}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), digest
}

func untar(t *testing.T, b []byte) (map[string][]byte, map[string]*tar.Header) {
	t.Helper()
	files, heads := map[string][]byte{}, map[string]*tar.Header{}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, heads
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		heads[h.Name] = h
	}
}

func TestLayout(t *testing.T) {
	b, digest := laid(t, "v1.2.3+dirty")
	again, _ := laid(t, "v1.2.3+dirty")
	if !bytes.Equal(b, again) {
		t.Error("the same gives other bytes")
	}
	if other, _ := laid(t, "v1.2.4"); bytes.Equal(b, other) {
		t.Error("the version makes no difference")
	}
	files, _ := untar(t, b)
	for name, body := range files {
		if want, ok := strings.CutPrefix(name, "blobs/sha256/"); ok {
			if h := sha256.Sum256(body); hex.EncodeToString(h[:]) != want {
				t.Errorf("%s has another digest", name)
			}
		}
	}
	read := func(d descriptor, v any) {
		t.Helper()
		body := files["blobs/"+strings.Replace(d.Digest, ":", "/", 1)]
		if len(body) != d.Size {
			t.Fatalf("%s has %d bytes, its descriptor says %d", d.Digest, len(body), d.Size)
		}
		if err := json.Unmarshal(body, v); err != nil {
			t.Fatal(err)
		}
	}
	var top, index struct{ Manifests []descriptor }
	if err := json.Unmarshal(files["index.json"], &top); err != nil || len(top.Manifests) != 1 || top.Manifests[0].Digest != digest {
		t.Fatalf("index.json: %v, %+v", err, top)
	}
	if name := top.Manifests[0].Annotations["io.containerd.image.name"]; name != "example.test/descry:v1.2.3-dirty" {
		t.Errorf("its name is %q", name)
	}
	read(top.Manifests[0], &index)
	for i, arch := range []string{"amd64", "arm64"} {
		if p := index.Manifests[i].Platform; p == nil || p.Architecture != arch || p.OS != "linux" {
			t.Fatalf("manifest %d is for %+v", i, p)
		}
		var m struct {
			Config descriptor
			Layers []descriptor
		}
		read(index.Manifests[i], &m)
		var c struct {
			Architecture string
			Config       struct{ Entrypoint, Env []string }
			RootFS       struct {
				DiffIDs []string `json:"diff_ids"`
			}
		}
		read(m.Config, &c)
		z, err := gzip.NewReader(bytes.NewReader(files["blobs/"+strings.Replace(m.Layers[0].Digest, ":", "/", 1)]))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		if h := sha256.Sum256(plain); c.RootFS.DiffIDs[0] != "sha256:"+hex.EncodeToString(h[:]) || c.Architecture != arch {
			t.Errorf("the config of %s is of another layer: %+v", arch, c)
		}
		root, heads := untar(t, plain)
		entry := strings.TrimPrefix(c.Config.Entrypoint[0], "/")
		if string(root[entry]) != "for "+arch || heads[entry].Mode != 0o755 {
			t.Errorf("%s of %s is %q", entry, arch, root[entry])
		}
	}
}

func TestTag(t *testing.T) {
	for in, want := range map[string]string{"v1.2.3": "v1.2.3", "v1+x/y": "v1-x-y", "-.a": "a", strings.Repeat("x", 200): strings.Repeat("x", 128)} {
		if got := tag(in); got != want {
			t.Errorf("tag(%q) is %q, want %q", in, got, want)
		}
	}
}
