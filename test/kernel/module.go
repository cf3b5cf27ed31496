package main

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// module is a kernel module, unpacked.
type module struct {
	name    string
	content []byte
}

// modules finds kernel modules by name, each after those that it needs.
func (k kernel) modules(ctx context.Context, names []string) ([]module, error) {
	if len(names) == 0 {
		return nil, nil
	}
	paths := map[string]string{}
	err := filepath.WalkDir(filepath.Join(k.dir, "lib/modules", k.version), func(p string, _ os.DirEntry, err error) error {
		if name, _, ok := strings.Cut(filepath.Base(p), ".ko"); ok {
			paths[strings.ReplaceAll(name, "-", "_")] = p
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var all []module
	var add func(string) error
	add = func(name string) error {
		name = strings.ReplaceAll(name, "-", "_")
		if slices.ContainsFunc(all, func(m module) bool { return m.name == name }) {
			return nil
		}
		p, ok := paths[name]
		if !ok {
			return fmt.Errorf("%s has no module %s (or it is built in)", k.version, name)
		}
		m := module{name: name}
		if m.content, err = os.ReadFile(p); err != nil {
			return err
		}
		if strings.HasSuffix(p, ".xz") {
			unpacked, err := output(ctx, "xz", "-dc", p)
			if err != nil {
				return fmt.Errorf("unpack %s: %w", p, err)
			}
			m.content = []byte(unpacked)
		}
		needs, err := depends(m.content)
		if err != nil {
			return fmt.Errorf("ask what %s needs: %w", name, err)
		}
		for _, need := range needs {
			if err := add(need); err != nil {
				return err
			}
		}
		all = append(all, m)
		return nil
	}
	for _, n := range names {
		if err := add(n); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// depends returns the modules that a module needs. The list that depmod makes of all modules is
// not in the package.
func depends(ko []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(ko))
	if err != nil {
		return nil, err
	}
	s := f.Section(".modinfo")
	if s == nil {
		return nil, fmt.Errorf("no section .modinfo: not a kernel module")
	}
	info, err := s.Data()
	if err != nil {
		return nil, err
	}
	for field := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := bytes.CutPrefix(field, []byte("depends=")); ok && len(list) > 0 {
			return strings.Split(string(list), ","), nil
		}
	}
	return nil, nil
}
