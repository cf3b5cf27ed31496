package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// Media types of the OCI image specification.
const (
	indexType    = "application/vnd.oci.image.index.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

type image struct {
	arch   string
	binary []byte
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

// layout is an OCI image layout that is being made.
type layout struct {
	blobs map[string][]byte
	err   error
}

func (l *layout) add(mediaType string, b []byte) descriptor {
	h := sha256.Sum256(b)
	name := hex.EncodeToString(h[:])
	l.blobs[name] = b
	return descriptor{MediaType: mediaType, Digest: "sha256:" + name, Size: len(b)}
}

func (l *layout) addJSON(mediaType string, v any) descriptor {
	b, err := json.Marshal(v)
	if err != nil {
		l.err = err
	}
	return l.add(mediaType, b)
}

// writeLayout writes the image as a tar, and gives the digest of its index.
func writeLayout(w io.Writer, o options, images []image) (string, error) {
	l := &layout{blobs: map[string][]byte{}}
	about := map[string]string{
		"org.opencontainers.image.title": "descry", "org.opencontainers.image.version": o.version,
		"org.opencontainers.image.description": "A flight recorder for processes: it says why one died, with the evidence",
		"org.opencontainers.image.source":      "https://github.com/descry-dev/descry", "org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.created": o.created.Format(time.RFC3339),
	}
	if o.revision != "" {
		about["org.opencontainers.image.revision"] = o.revision
	}
	var manifests []descriptor
	for _, i := range images {
		m, err := l.addImage(i, o, about)
		if err != nil {
			return "", err
		}
		manifests = append(manifests, m)
	}
	index := l.addJSON(indexType, map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": manifests, "annotations": about})
	name := o.name + ":" + tag(o.version)
	top := index
	top.Annotations = map[string]string{"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag(o.version)}
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	b, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": []descriptor{top}})
	if err != nil {
		return "", err
	}
	files["index.json"] = b
	for digest, b := range l.blobs {
		files["blobs/sha256/"+digest] = b
	}
	if l.err != nil {
		return "", l.err
	}
	return index.Digest, writeFiles(w, files)
}

func (l *layout) addImage(i image, o options, about map[string]string) (descriptor, error) {
	plain, err := rootFS(i.binary)
	if err != nil {
		return descriptor{}, err
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return descriptor{}, err
	}
	if _, err := z.Write(plain); err != nil {
		return descriptor{}, err
	}
	if err := z.Close(); err != nil {
		return descriptor{}, err
	}
	diff := sha256.Sum256(plain)
	config := l.addJSON(configType, map[string]any{
		"architecture": i.arch, "os": "linux", "created": o.created.Format(time.RFC3339),
		"config": map[string]any{
			"Entrypoint": []string{"/usr/bin/descry"}, "Cmd": []string{"agent"}, "Env": []string{"PATH=/usr/bin"}, "WorkingDir": "/",
			"ExposedPorts": map[string]any{"9477/tcp": map[string]any{}}, "Labels": about,
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(diff[:])}},
		"history": []any{map[string]any{"created": o.created.Format(time.RFC3339), "created_by": "go run ./deploy/image"}},
	})
	layer := l.add(layerType, packed.Bytes())
	m := l.addJSON(manifestType, map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": []descriptor{layer}, "annotations": about,
	})
	m.Platform = &platform{Architecture: i.arch, OS: "linux"}
	return m, nil
}

// rootFS is the image's only layer: the command, the directories that are mounted upon, and a name for its user.
func rootFS(binary []byte) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range []struct {
		name string
		mode int64
		body []byte
	}{
		{"etc/", 0o755, nil}, {"etc/passwd", 0o644, []byte("root:x:0:0:root:/:/sbin/nologin\n")},
		{"host/", 0o755, nil}, {"run/", 0o755, nil}, {"run/descry/", 0o700, nil}, {"tmp/", 0o1777, nil},
		{"usr/", 0o755, nil}, {"usr/bin/", 0o755, nil}, {"usr/bin/descry", 0o755, binary},
		{"var/", 0o755, nil}, {"var/lib/", 0o755, nil}, {"var/lib/descry/", 0o700, nil},
	} {
		h := &tar.Header{Name: e.name, Mode: e.mode, Typeflag: tar.TypeReg, Size: int64(len(e.body)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if e.body == nil {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("pack %s: %w", e.name, err)
		}
		if _, err := w.Write(e.body); err != nil {
			return nil, fmt.Errorf("pack %s: %w", e.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func writeFiles(w io.Writer, files map[string][]byte) error {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	t := tar.NewWriter(w)
	for _, name := range names {
		h := &tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(files[name])), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(files[name]); err != nil {
			return err
		}
	}
	return t.Close()
}
