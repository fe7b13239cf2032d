package doctest

import (
	"go/ast"
	"go/doc"
	"go/types"
	"strings"
	"testing"
)

// TestEveryCallHasAnExample: each exported function and method is used by an example whose output is checked, or another type's
// method of the same name is, for Server, Namespace and the like have many in common.
func TestEveryCallHasAnExample(t *testing.T) {
	a := readAPI(t)
	for _, name := range []string{"socketio", "siomesh"} {
		files := a.parse(t, name, func(file string) bool {
			return strings.HasSuffix(file, "_test.go") && (strings.Contains(file, "/example_") || strings.Contains(file, "/demo_"))
		})
		checked, used := map[string]bool{}, map[string]bool{}
		for _, x := range doc.Examples(files...) {
			if x.Output == "" && !x.EmptyOutput {
				t.Errorf("%s: Example%s has no output that is checked", name, x.Name)
			}
			checked["Example"+x.Name] = true
			used[module+"pkg/"+name+"."+x.Name[strings.LastIndexByte(x.Name, '_')+1:]] = true // called by net/http, say
		}
		info := a.check(files...)
		for _, f := range files {
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || strings.HasPrefix(fn.Name.Name, "Example") && !checked[fn.Name.Name] {
					continue
				}
				ast.Inspect(fn, func(n ast.Node) bool {
					id, ok := n.(*ast.Ident)
					if !ok {
						return true
					}
					if o, ok := info.Uses[id].(*types.Func); ok && o.Pkg() != nil {
						used[o.Pkg().Path()+"."+o.Name()] = true
					}
					return true
				})
			}
		}
		for _, o := range a.exported(name) {
			if _, ok := o.(*types.Func); ok && !used[o.Pkg().Path()+"."+o.Name()] {
				t.Errorf("no example of %s", title(o))
			}
		}
	}
}
