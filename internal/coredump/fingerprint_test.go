package coredump

import (
	"slices"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

func TestPlainFunction(t *testing.T) {
	for _, k := range []struct{ in, want string }{
		{"parse_header", "parse_header"},
		{"parse_header.cold", "parse_header"},
		{"parse_header.constprop.0.isra.0", "parse_header"},
		{"handle.llvm.1234567890", "handle"},
		{"std::vector<int, std::allocator<int> >::at", "std::vector::at"},
		{"shop::cart<int>::add<char const*>(char const*)", "shop::cart::add"},
		{"operator<<", "operator<<"},
		{"ns::operator< <int>", "ns::operator<"},
		{"ns::Value::operator->", "ns::Value::operator->"},
		{"(anonymous namespace)::work<4>", "(anonymous namespace)::work"},
		{"shop::cart::add::h0123456789abcdef", "shop::cart::add"},
		{"<shop::Cart as core::fmt::Display>::fmt::h0123456789abcdef", "<shop::Cart as core::fmt::Display>::fmt"},
		{"<shop::Cart<T> as core::ops::Index<usize>>::index", "<shop::Cart as core::ops::Index>::index"},
		{"shop::run::<u8>", "shop::run"},
		{"core[89ab01cd]::option::unwrap_failed", "core::option::unwrap_failed"},
		{"main.generic[...]", "main.generic"},
		{"main.(*queue).receive", "main.(*queue).receive"},
		{"main.(*queue[...]).receive-fm", "main.(*queue).receive"},
		{"main.main.gowrap1", "main.main"},
		{"main.main.func1", "main.main.func1"},
		{"std::__cxx11::basic_string[abi:cxx11]", "std::__cxx11::basic_string"},
		{"JS:*handle /srv/app.js:12:7", "handle app.js"},
		{"LazyCompile:~handle /srv/app.js:99:1", "handle app.js"},
		{"f<", "f"},
		{"f>>", "f>>"},
		{"", ""},
	} {
		if got := plainFunction(k.in); got != k.want {
			t.Errorf("plainFunction(%q) = %q, want %q", k.in, got, k.want)
		}
	}
}

func frames(names ...string) (out []evidence.CoreFrame) {
	for i, n := range names {
		own := n[0] != '-'
		out = append(out, evidence.CoreFrame{Frame: evidence.Frame{PC: uint64(i), Function: n, Own: own, Module: "/srv/shop"}})
	}
	return out
}

func TestFingerprint(t *testing.T) {
	base := evidence.Core{Program: "/srv/v1/shop", Signal: sigSEGV, Frames: frames("add<int>", "-memcpy", "cart.cold", "serve", "_start")}
	want, by := Fingerprint(&base)
	if !slices.Equal(by, []string{"shop", "memory", "add", "cart", "serve"}) || len(want) != 12 {
		t.Errorf("%q of %q", want, by)
	}
	for name, alike := range map[string]evidence.Core{
		"another folder":         {Program: "/srv/v2/shop", Signal: sigSEGV, Frames: base.Frames},
		"SIGBUS":                 {Program: "/srv/v1/shop", Signal: sigBUS, Frames: base.Frames},
		"other addresses":        {Program: "/srv/v1/shop", Signal: sigSEGV, Frames: frames("add", "cart", "-x", "main", "serve")},
		"recursion":              {Program: "/srv/v1/shop", Signal: sigSEGV, Frames: frames("add", "add", "add", "cart", "add", "serve")},
		"deeper than it matters": {Program: "/srv/v1/shop", Signal: sigSEGV, Frames: frames("add", "cart", "serve", "more", "main")},
	} {
		if got, by := Fingerprint(&alike); got != want {
			t.Errorf("%s: another fingerprint, of %q", name, by)
		}
	}
	for name, other := range map[string]evidence.Core{
		"another function": {Program: "/srv/v1/shop", Signal: sigSEGV, Frames: frames("sub", "cart", "serve")},
		"another signal":   {Program: "/srv/v1/shop", Signal: sigABRT, Frames: base.Frames},
		"another program":  {Program: "/srv/v1/stock", Signal: sigSEGV, Frames: base.Frames},
		"a stack overflow": {Program: "/srv/v1/shop", Signal: sigSEGV, Fault: evidence.CoreStack, Frames: base.Frames},
	} {
		if got, by := Fingerprint(&other); got == want {
			t.Errorf("%s: the same fingerprint, of %q", name, by)
		}
	}
	// What a handler interrupted counts, not the handler.
	caught := evidence.Core{Program: "shop", Signal: sigABRT, Frames: append(frames("report", "handler"), append([]evidence.CoreFrame{{Signal: true}}, frames("add")...)...)}
	if _, by := Fingerprint(&caught); !slices.Equal(by, []string{"shop", "SIGABRT", "add"}) {
		t.Errorf("of a caught fault: %q", by)
	}
	// A recursion that ends in either function.
	a := evidence.Core{Program: "p", Signal: sigSEGV, Fault: evidence.CoreStack, Frames: frames("even", "odd", "even", "odd")}
	b := evidence.Core{Program: "p", Signal: sigSEGV, Fault: evidence.CoreStack, Frames: frames("odd", "even", "odd", "even")}
	if pa, _ := Fingerprint(&a); func() string { p, _ := Fingerprint(&b); return p }() != pa {
		t.Error("a recursion of two functions has two fingerprints")
	}
	// Without names: build id and place.
	bare := evidence.Core{Program: "p", Signal: sigSEGV, Modules: []evidence.CoreModule{{Path: "/p", BuildID: "12ab"}},
		Frames: []evidence.CoreFrame{{Frame: evidence.Frame{PC: 0x7f00, Offset: 0x1234, Module: "/p", Own: true}}}}
	if _, by := Fingerprint(&bare); by[2] != "p 12ab+0x1234" {
		t.Errorf("without names: %q", by)
	}
}

func FuzzPlainFunction(f *testing.F) {
	f.Add("a<b(c[d>e)f]::h0123456789abcdef.isra.0")
	f.Add("operator<<=>>")
	f.Fuzz(func(t *testing.T, s string) {
		if got := plainFunction(s); len(got) > len(s)+1 {
			t.Errorf("%q became %q", s, got)
		}
	})
}
