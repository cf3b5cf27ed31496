package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// packages of Debian that are text in many languages.
var packages = strings.Fields(`manpages-ja manpages-cs manpages-da manpages-de manpages-es manpages-fr manpages-hu manpages-it manpages-nl manpages-pl manpages-pt-br
manpages-ro manpages-ru manpages-sr manpages-sv manpages-uk manpages-vi manpages-zh manpages-tr manpages-mk manpages-ja-dev
fortunes fortunes-zh fortunes-bg fortunes-br fortunes-cs fortunes-de fortunes-eo fortunes-es fortunes-ga fortunes-it fortunes-pl fortunes-ru
hunspell-ar hunspell-be hunspell-bn hunspell-bo hunspell-dz hunspell-el hunspell-gu hunspell-he hunspell-hi hunspell-hu hunspell-is hunspell-kk hunspell-ko hunspell-lo
hunspell-lt hunspell-lv hunspell-ml hunspell-mn hunspell-ne hunspell-ro hunspell-ru hunspell-si hunspell-sr hunspell-te hunspell-th hunspell-tr hunspell-uk hunspell-vi
hunspell-de-de hunspell-fr-classical hunspell-es hunspell-pl hunspell-cs hunspell-sw
wbulgarian wukrainian wpolish wngerman wfrench wbrazilian wdutch wdanish wfaroese wgaelic wcatalan wswedish wspanish witalian
debian-reference-ja debian-reference-zh-cn debian-reference-zh-tw debian-reference-fr debian-reference-de debian-reference-en installation-guide-amd64
maint-guide-ru maint-guide-vi maint-guide-ja linux-doc-6.1 postgresql-doc-15 debian-handbook python3-doc toilet-fonts vim-runtime emacs-common unicode-data`)

// downloadText unpacks the packages into a folder, each into its own, unless they are there.
func downloadText(dir string) error {
	debs := filepath.Join(dir, ".debs")
	if err := os.MkdirAll(debs, 0o755); err != nil {
		return err
	}
	for _, p := range packages {
		to := filepath.Join(dir, p)
		if _, err := os.Stat(to); err == nil {
			continue
		}
		cmd := exec.Command("apt-get", "download", "-q", p)
		cmd.Dir = debs
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "download %s: %v: %.100s\n", p, err, out)
			continue
		}
		found, _ := filepath.Glob(filepath.Join(debs, p+"_*.deb"))
		if len(found) != 1 {
			continue
		}
		if out, err := exec.Command("dpkg-deb", "-x", found[0], to).CombinedOutput(); err != nil {
			return fmt.Errorf("unpack %s: %w: %s", p, err, out)
		}
		os.Remove(found[0])
	}
	return nil
}
