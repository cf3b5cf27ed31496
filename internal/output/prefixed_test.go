package output

import (
	"strings"
	"testing"
)

// Strings with their lengths in front are no text, though nearly all of their bytes are; what only looks so is.
func TestPrefixed(t *testing.T) {
	log := strings.Repeat("2026-11-22 07:24:16 INFO checkout 8812 ok, 17 items, 42.50 EUR\n", 300)
	for name, s := range map[string]string{
		"bytecode":          "als\xda\aaddnode\xda\aanimate\xda\aarctime\xda\aasycode\xda\aattract\xda\aazimuth\xda\abangl",
		"class":             "rectory.java\x01\x00 Ljava/lang/annotation/Retention; and so it goes on",
		"messages":          "gs2\x1d\n\x12chunk.configparser!\xf8\xb51T\x86zT@2\x18\n\rxdrlib.locale!\x0f\xb9$\fa\xdd@@2<\n\rt",
		"messages in a row": "paddress pty\x18\x03\"\x1a\n\x14plistlib.tracemalloc\x18\x8a\x01\"\x14\n\x0easynchat.chunk\x18\x8b\x012\x17\n\x11",
	} {
		var j Judge
		if spans := j.Flush(j.Write(nil, []byte(log+s+log))); len(spans) == 0 {
			t.Errorf("%s: not found", name)
		}
	}
	affixes := "SFX F   rze\xe6      arli      [^e].rze\xe6\nSFX F   rze\xe6      ar\xb3y      [^e].rze\xe6\n"
	for name, s := range map[string]string{
		"affixes in Latin-2":       strings.Repeat(affixes, 20),
		"lines end behind letters": strings.Repeat("caf\xe9\nSeptember\xe9\nSeptembre \xe9\n", 20),
		"fields of FIX":            "8=FIX.4.2\x019=65\x0135=A\x0149=SERVER\x0156=CLIENT\x0134=177\x0152=20090107-18:15:16\x0198=0\x01108=30\x0110=062\x01\n",
		"separated by tabs":        strings.Repeat("a\tninechars\tb\tninechars\n", 20),
		"a control in a line":      "one \x05here\n" + log + "and \x06there\n",
	} {
		var j Judge
		if spans := j.Flush(j.Write(nil, []byte(log+s+log))); len(spans) > 0 {
			t.Errorf("%s: %+v", name, spans)
		}
	}
}
