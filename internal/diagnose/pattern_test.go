package diagnose

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// TestPatternsCompile looks at the sources: what is not used here would fail at a user's first death.
func TestPatternsCompile(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset, seen := token.NewFileSet(), 0
	for _, name := range files {
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if fn, ok := call.Fun.(*ast.Ident); !ok || fn.Name != "newPattern" && fn.Name != "compile" {
				return true
			}
			for _, arg := range call.Args {
				expr, ok := literal(arg)
				if !ok {
					continue // compile's own loop
				}
				seen++
				if _, err := regexp.Compile(expr); err != nil {
					t.Errorf("%s: %v", fset.Position(arg.Pos()), err)
				}
			}
			return true
		})
	}
	if seen < 70 {
		t.Errorf("only %d patterns found", seen)
	}
}

// literal is the value of string literals, joined or single.
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.BinaryExpr:
		x, okX := literal(e.X)
		y, okY := literal(e.Y)
		return x + y, okX && okY
	}
	return "", false
}
