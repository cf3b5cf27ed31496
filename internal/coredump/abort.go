package coredump

import (
	"fmt"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/symbol"
)

// maxMessage bounds what is shown of libc's last words, in bytes.
const maxMessage = 1024

// abort is SIGABRT, whoever sent it.
func (m *meaning) abort() {
	m.sent()
	if m.Fault != evidence.CoreAborted {
		return
	}
	m.Message = m.libcMessage()
	m.Exception, m.What = m.exception()
	m.Smashed = m.smashed()
	switch {
	case m.Smashed != "" && strings.Contains(m.Message, "buffer overflow"):
		m.Text = fmt.Sprintf("libc found that %s was to write past the end of a buffer, and aborted", m.Smashed)
	case m.Smashed != "":
		m.Text = fmt.Sprintf("the stack frame of %s was overwritten (its stack protector was not as before): it wrote past the end of a local array; what the backtrace has beyond it cannot be trusted", m.Smashed)
	case m.Message != "":
		m.Text = "the process aborted: " + strings.TrimSpace(m.Message)
	case m.Exception != "" && m.What != "":
		m.Text = fmt.Sprintf("the process aborted: nobody caught a C++ exception of type %s, what(): %s", m.Exception, m.What)
	case m.Exception != "":
		m.Text = "the process aborted: nobody caught a C++ exception of type " + m.Exception
	default:
		m.Text = "the process aborted itself"
		if f := m.aborter(); f != "" {
			m.Text += ", from " + f
		}
	}
	m.Text += m.interrupted()
}

// interrupted says what a signal handler that ended the process had interrupted: the culprit of a program that
// catches its own faults.
func (m *meaning) interrupted() string {
	if m.stack == nil {
		return ""
	}
	f := m.stack.Interrupted()
	if f == nil {
		return ""
	}
	what := "a signal"
	if m.Caught = m.caught(); m.Caught != nil {
		what = m.Caught.String()
	}
	return "; it was in the handler of " + what + " that had interrupted " + frameName(f)
}

// aborter is the innermost own function of the backtrace.
func (m *meaning) aborter() string {
	if m.stack == nil {
		return ""
	}
	if f := m.stack.Own(); f != nil && f.Function != "" {
		return f.Function
	}
	return ""
}

// smashed is the function whose frame a check of the compiler or of libc found to be overwritten.
func (m *meaning) smashed() string {
	if m.stack == nil {
		return ""
	}
	frames := m.stack.Frames
	for i := range min(len(frames), 16) {
		switch frames[i].Function {
		case "__stack_chk_fail", "__stack_chk_fail_local", "__chk_fail", "__GI___chk_fail":
			for i++; i < len(frames); i++ {
				// __strcpy_chk and its like stand between.
				if f := &frames[i]; !strings.HasSuffix(f.Function, "_chk") && f.Function != "__stack_chk_fail_local" && !f.Guess {
					return frameName(f)
				}
			}
			return ""
		}
	}
	return ""
}

// libcMessage is glibc's __abort_msg: what it wrote before abort(), of a failed assertion, a damaged heap, a smashed stack.
func (m *meaning) libcMessage() string {
	if m.res == nil {
		return ""
	}
	for _, at := range m.libraries("libc.so", "libc-2") {
		addr, ok := m.res.Address(m.root, symbolMapping(at), "__abort_msg")
		if !ok {
			continue
		}
		// struct abort_msg_s { unsigned int size; char msg[]; }
		p, ok := m.word(addr)
		if !ok || p == 0 {
			continue
		}
		if s := m.text(p+4, maxMessage); s != "" {
			return s
		}
	}
	return ""
}

// libraries are the executable mappings of the program itself and of the libraries whose base names begin so.
func (m *meaning) libraries(names ...string) []*Mapping {
	var out []*Mapping
	entry, _ := m.c.Aux(atEntry)
	for i := range m.c.Mappings {
		at := &m.c.Mappings[i]
		if !at.Executable || at.Path == "" || at.Path[0] != '/' {
			continue
		}
		base := at.Path[strings.LastIndexByte(at.Path, '/')+1:]
		use := entry >= at.Start && entry < at.End
		for _, n := range names {
			use = use || strings.HasPrefix(base, n)
		}
		if use {
			out = append(out, at)
		}
	}
	return out[:min(len(out), 8)]
}

// The layout of an exception of the Itanium C++ ABI as libstdc++ and libc++ have it on 64 bits: struct
// __cxa_exception ends with the unwinder's header, and the object follows it.
const (
	gnuCXX         = 0x474e5543432b2b00 // exception_class "GNUCC++\0"; the last byte is 1 for a rethrown one
	clangCXX       = 0x434c4e47432b2b00 // "CLNGC++\0"
	cxaTypeInfo    = 80                 // bytes from __cxa_exception.exceptionType to the header
	cxaObject      = 32                 // bytes from the header to the object
	maxStackSearch = 32 << 10
)

// exception finds the C++ exception that std::terminate was called for: the unwinder's header that the frames of
// the throw point to.
func (m *meaning) exception() (typ, what string) {
	thrown := false
	if m.stack == nil {
		return "", ""
	}
	for i := range min(len(m.stack.Frames), 24) {
		switch f := m.stack.Frames[i].Function; {
		case strings.HasPrefix(f, "std::terminate"), strings.HasPrefix(f, "__cxxabiv1::__terminate"), strings.HasPrefix(f, "__cxa_throw"), strings.HasPrefix(f, "__cxa_rethrow"):
			thrown = true
		}
	}
	if !thrown {
		return "", ""
	}
	b := make([]byte, maxStackSearch)
	b = b[:m.c.Memory(m.t.SP, b)]
	for ; len(b) >= 8; b = b[8:] {
		head := le.Uint64(b)
		if head < nullArea || head%8 != 0 {
			continue
		}
		class, ok := m.c.Word(head)
		if !ok || class&^1 != gnuCXX && class&^1 != clangCXX {
			continue
		}
		info, ok := m.c.Word(head - cxaTypeInfo)
		if !ok {
			continue
		}
		name, ok := m.typeName(info)
		if !ok {
			continue
		}
		return symbol.TypeName(name), m.what(info, name, head+cxaObject)
	}
	return "", ""
}

// typeName is the mangled name that a type_info has.
func (m *meaning) typeName(info uint64) (string, bool) {
	p, ok := m.word(info + 8)
	if !ok {
		return "", false
	}
	name := strings.TrimPrefix(m.text(p, 512), "*")
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return "", false
		}
	}
	return name, name != ""
}

// whatTypes are the exceptions of the standard library that keep their message as a C string behind the vtable's pointer.
var whatTypes = map[string]bool{"St13runtime_error": true, "St11logic_error": true}

// what is the message of an exception that is, or is derived from, one of the standard library's.
func (m *meaning) what(info uint64, name string, object uint64) string {
	switch name {
	case "PKc", "Pc":
		p, _ := m.c.Word(object)
		return m.text(p, maxMessage)
	case "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE":
		p, _ := m.c.Word(object)
		return m.text(p, maxMessage)
	}
	for range 8 {
		if whatTypes[name] {
			p, _ := m.c.Word(object + 8)
			return m.text(p, maxMessage)
		}
		// struct __si_class_type_info { vtable, name, base }: one base, at offset 0.
		base, ok := m.word(info + 16)
		if !ok {
			return ""
		}
		if name, ok = m.typeName(base); !ok || !strings.ContainsAny(name[:1], "SN0123456789") {
			return ""
		}
		info = base
	}
	return ""
}
