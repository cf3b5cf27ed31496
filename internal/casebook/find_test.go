package casebook

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

func TestFind(t *testing.T) {
	b := New(t.TempDir(), Bounds{})
	n := 0
	add := func(namespace, pod, container, id, command string) string {
		n++
		c := numbered(n)
		c.Subject = evidence.Subject{Namespace: namespace, Pod: pod, Container: container, ContainerID: id, Command: []string{command}}
		put(t, b, c)
		return c.ID
	}
	if _, err := b.Find("x"); !errors.Is(err, ErrNone) {
		t.Errorf("of nothing: %v", err)
	}
	app1 := add("shop", "cart-7d9f-abcde", "app", strings.Repeat("a1b2c3d4", 8), "/cart")
	app2 := add("shop", "cart-7d9f-abcde", "app", strings.Repeat("b1b2c3d4", 8), "/cart")
	proxy := add("shop", "cart-7d9f-abcde", "proxy", strings.Repeat("c1b2c3d4", 8), "/envoy")
	other := add("test", "cart-7d9f-abcde", "app", strings.Repeat("d1b2c3d4", 8), "/cart")
	plain := add("", "", "", "", "/usr/bin/app")
	n++
	unit := numbered(n)
	unit.Subject.Unit, unit.Subject.Command = "/system.slice/nginx.service", []string{"/usr/sbin/nginx"}
	put(t, b, unit)
	last := add("shop", "app", "x", strings.Repeat("e1b2c3d4", 8), "/x")
	for _, c := range []struct {
		name, id string
		alike    int
		other    string
	}{
		{"", last, 0, ""},
		{app1, app1, 0, ""},
		{strings.ToLower(app1), app1, 0, ""},
		{"cart-7d9f-abcde", other, 0, "shop/cart-7d9f-abcde/proxy shop/cart-7d9f-abcde/app"},
		{"shop/cart-7d9f-abcde", proxy, 0, "shop/cart-7d9f-abcde/app"},
		{"cart-7d9f-abcde/proxy", proxy, 0, ""},
		{"shop/cart-7d9f-abcde/app", app2, 1, ""},
		{"a1b2c3d4a1b2", app1, 0, ""},
		{"app", last, 0, ""},                                // the pod, before containers and commands of that name
		{"shop/cart", proxy, 0, "shop/cart-7d9f-abcde/app"}, // a Deployment
		{"cart", other, 0, "shop/cart-7d9f-abcde/app"},      // the command, before pods that begin so
		{"/usr/bin/app", plain, 0, ""},
		{"nginx", unit.ID, 0, ""},
		{"nginx.service", unit.ID, 0, ""},
		{"/system.slice/nginx.service", unit.ID, 0, ""},
		{"envoy", proxy, 0, ""},
	} {
		m, err := b.Find(c.name)
		if err != nil {
			t.Errorf("%q: %v", c.name, err)
			continue
		}
		if m.Case.ID != c.id || m.Alike != c.alike || strings.Join(m.Other, " ") != c.other {
			t.Errorf("%q: %+v of %s, want %+v", c.name, m, m.Case.ID, c)
		}
	}
	for _, name := range []string{"nobody", "shop/", "/", "ca", "a1b2", "test/cart-7d9f-abcde/proxy", "\x00"} {
		if m, err := b.Find(name); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %+v, %v", name, m, err)
		}
	}
	prefix := app1[:5]
	if _, err := b.Find(prefix); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("%q: %v", prefix, err)
	}
	if m, err := b.Find("cart-7d9f-abcde"); err != nil || !slices.Contains(m.Other, "shop/cart-7d9f-abcde/app") {
		t.Errorf("%+v, %v", m, err)
	}
}
