//go:build linux

package probe

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// What outlives the process stands in one directory of a bpffs:
//
//	GENERATION-BUILD-SETTINGS/map_NAME-SHAPE
//	GENERATION-BUILD-SETTINGS/link_PROGRAM
//
// Programs work while their generation is that of the map node_state. So a directory that somebody was
// killed over is known: it is not the one that works, and the next to come removes it. A process that
// uses them holds a lock on the directory itself.

// ErrPinsInUse is what errors wrap where another process holds the pins.
var ErrPinsInUse = errors.New("the pinned probes are in use by another process")

const bpffs = 0xcafe4a11

// Takeover says what was found in the directory of pins, and what became of it.
type Takeover struct {
	Same    bool     // it was of this build with these settings: all of it goes on, with no gap
	Events  bool     // what the ring holds of the time in between is read
	Carried []string // maps whose contents go on
	Dropped []string // maps whose contents are lost
}

// pins is the directory as one process holds it.
type pins struct {
	root string
	lock *os.File
	gen  uint64
	name string // of the own generation's directory
	same bool   // it was there, complete
	old  []string

	maps   map[string]*ebpf.Map // carried over, by name and shape
	shapes map[string]string    // of the maps that were made or taken, by name
	links  map[string]link.Link // taken over
	made   map[string]link.Link // to be pinned
	taken  *Takeover
}

// openPins takes the lock and finds out what is there. build and settings tell what can go on.
func openPins(dir, build, settings string) (p *pins, err error) {
	defer func() {
		if err != nil {
			p.close()
			p, err = nil, fmt.Errorf("use the pins in %s: %w", dir, err)
		}
	}()
	p = &pins{root: dir, gen: 1, maps: map[string]*ebpf.Map{}, shapes: map[string]string{}, links: map[string]link.Link{}, made: map[string]link.Link{}}
	if p.lock, err = lockPins(dir, true); err != nil {
		return p, err
	}
	all, active, err := generations(dir)
	if err != nil {
		return p, err
	}
	for _, g := range all {
		if g != active {
			if _, err := removeGeneration(dir, g); err != nil {
				return p, err
			}
		}
	}
	if active == "" {
		p.name = name(p.gen, build, settings)
		return p, os.Mkdir(filepath.Join(dir, p.name), 0o700)
	}
	f := strings.Split(active, "-")
	was, _ := strconv.ParseUint(f[0], 10, 64)
	p.taken = new(Takeover)
	same := f[1] == build && f[2] == settings
	if err := p.load(active, f[2] == settings); err != nil {
		return p, err
	}
	if same {
		p.gen, p.name, p.same = was, active, true
		p.taken.Same, p.taken.Events = true, true
		return p, nil
	}
	for _, l := range p.links {
		l.Close()
	}
	clear(p.links)
	p.old = []string{active}
	p.gen = was + 1
	p.name = name(p.gen, build, settings)
	return p, os.Mkdir(filepath.Join(dir, p.name), 0o700)
}

func name(gen uint64, build, settings string) string {
	return fmt.Sprintf("%d-%s-%s", gen, build, settings)
}

// load takes what is pinned; of other settings only the numbers that were given go on.
func (p *pins) load(generation string, alike bool) error {
	dir := filepath.Join(p.root, generation)
	all, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range all {
		path := filepath.Join(dir, f.Name())
		if name, ok := strings.CutPrefix(f.Name(), "link_"); ok {
			l, err := link.LoadPinnedLink(path, nil)
			if err != nil {
				return fmt.Errorf("load %s: %w", path, err)
			}
			p.links[name] = l
			continue
		}
		name, ok := strings.CutPrefix(f.Name(), "map_")
		if !ok || !alike && !strings.HasPrefix(name, "node_state-") {
			continue
		}
		m, err := ebpf.LoadPinnedMap(path, nil)
		if err != nil {
			return fmt.Errorf("load %s: %w", path, err)
		}
		p.maps[name] = m
	}
	return nil
}

// lockPins opens the directory and takes its lock.
func lockPins(dir string, create bool) (*os.File, error) {
	for {
		if create {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return nil, err
			}
		}
		f, err := os.Open(dir)
		if err != nil {
			return nil, err
		}
		var fs unix.Statfs_t
		if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil || fs.Type != bpffs {
			f.Close()
			return nil, errors.Join(err, errors.New("it is in no bpffs (mount -t bpf)"))
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				err = ErrPinsInUse
			}
			return nil, err
		}
		var held, there unix.Stat_t
		if unix.Fstat(int(f.Fd()), &held) == nil && unix.Stat(dir, &there) == nil && held.Ino == there.Ino {
			return f, nil
		}
		f.Close() // somebody removed it meanwhile
		if !create {
			return nil, os.ErrNotExist
		}
	}
}

// generations lists the directories, and which of them works: "" for none.
func generations(dir string) (all []string, active string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, "", err
	}
	var best uint64
	for _, e := range entries {
		f := strings.Split(e.Name(), "-")
		gen, err := strconv.ParseUint(f[0], 10, 64)
		if err != nil || len(f) != 3 || !e.IsDir() {
			continue // not ours
		}
		all = append(all, e.Name())
		if works(filepath.Join(dir, e.Name()), gen) && gen > best {
			best, active = gen, e.Name()
		}
	}
	return all, active, nil
}

// works says whether the programs of a generation do their work.
func works(dir string, gen uint64) bool {
	states, _ := filepath.Glob(filepath.Join(dir, "map_node_state-*"))
	for _, path := range states {
		m, err := ebpf.LoadPinnedMap(path, nil)
		if err != nil {
			continue
		}
		var now uint64
		err = m.Lookup(nodeGeneration, &now)
		m.Close()
		if err == nil && now == gen {
			return true
		}
	}
	return false
}

// removeGeneration lets go of one directory: with its last link gone a program is detached.
func removeGeneration(root, generation string) (removed []string, err error) {
	dir := filepath.Join(root, generation)
	all, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// Links first: a program may not stand without what says whether it works.
	slices.SortStableFunc(all, func(a, b os.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, f := range all {
		if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
			return removed, err
		}
		removed = append(removed, filepath.Join(generation, f.Name()))
	}
	return removed, os.Remove(dir)
}

// goOn uses all maps of a directory that goes on as it is.
func (p *pins) goOn(maps map[string]*ebpf.Map) {
	if !p.same {
		return
	}
	for name, m := range p.maps {
		name, _, _ = strings.Cut(name, "-")
		maps[name] = m
		p.taken.Carried = append(p.taken.Carried, name)
	}
	clear(p.maps)
}

// take gives the map that was carried over, nil where there is none. Maps that are not shared have no
// pins.
func (p *pins) take(name, shape string) *ebpf.Map {
	p.shapes[name] = shape
	if name == "scope" && !p.same {
		return nil
	}
	m := p.maps[name+"-"+shape]
	delete(p.maps, name+"-"+shape)
	if m != nil && p.taken != nil {
		p.taken.Carried = append(p.taken.Carried, name)
		if name == "events" {
			p.taken.Events = true
		}
	}
	return m
}

// commit pins what was made, and then switches from the old programs to the new ones at once.
func (p *pins) commit(maps map[string]*ebpf.Map) error {
	dir := filepath.Join(p.root, p.name)
	for name, m := range maps {
		shape, ok := p.shapes[name]
		if !ok {
			continue // it goes on
		}
		path := filepath.Join(dir, "map_"+name+"-"+shape)
		if _, err := os.Lstat(path); err == nil {
			continue
		}
		own, err := m.Clone()
		if err != nil {
			return err
		}
		err = own.Pin(path)
		own.Close()
		if err != nil {
			return fmt.Errorf("pin map %s: %w", name, err)
		}
	}
	for name, l := range p.made {
		if err := l.Pin(filepath.Join(dir, "link_"+name)); err != nil {
			return fmt.Errorf("pin program %s: %w", name, err)
		}
	}
	if err := maps["node_state"].Put(nodeGeneration, p.gen); err != nil {
		return fmt.Errorf("switch to generation %d: %w", p.gen, err)
	}
	for _, g := range p.old {
		if _, err := removeGeneration(p.root, g); err != nil {
			return err
		}
	}
	if p.taken != nil {
		for name, m := range p.maps {
			name, _, _ = strings.Cut(name, "-")
			p.taken.Dropped = append(p.taken.Dropped, name)
			m.Close()
		}
		clear(p.maps)
		slices.Sort(p.taken.Carried)
		slices.Sort(p.taken.Dropped)
	}
	return nil
}

func (p *pins) close() {
	if p == nil {
		return
	}
	for _, m := range p.maps {
		m.Close()
	}
	if p.lock != nil {
		p.lock.Close()
	}
}

// Unpin removes all that a Set has pinned in a directory, and says what that was. An error wraps
// ErrPinsInUse while a Set uses them, and os.ErrNotExist where there are none.
func Unpin(dir string) (removed []string, err error) {
	lock, err := lockPins(dir, false)
	if err != nil {
		return nil, fmt.Errorf("remove the pins in %s: %w", dir, err)
	}
	defer lock.Close()
	all, _, err := generations(dir)
	for _, g := range all {
		more, e := removeGeneration(dir, g)
		removed, err = append(removed, more...), errors.Join(err, e)
	}
	if err == nil {
		err = os.Remove(dir)
	}
	if err != nil {
		return removed, fmt.Errorf("remove the pins in %s: %w", dir, err)
	}
	return removed, nil
}

// digest is a short hash of several texts.
func digest(parts ...[]byte) string {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.LittleEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
