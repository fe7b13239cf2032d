package doctest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/siomesh/siomesh/"
)

// api is the packages that an application imports, type-checked without what they import: that resolves every name of theirs.
type api struct {
	fset     *token.FileSet
	packages map[string]*types.Package // by import path
}

func readAPI(tb testing.TB) *api {
	tb.Helper()
	a := &api{fset: token.NewFileSet(), packages: map[string]*types.Package{}}
	for _, name := range []string{"engine", "socketio", "siomesh"} { // a package behind what it imports
		files := a.parse(tb, name, func(file string) bool { return !strings.HasSuffix(file, "_test.go") })
		conf := types.Config{Importer: a, Error: func(error) {}}
		a.packages[module+"pkg/"+name], _ = conf.Check(module+"pkg/"+name, a.fset, files, nil)
	}
	return a
}

// parse reads the files of a package that are wanted.
func (a *api) parse(tb testing.TB, name string, wanted func(file string) bool) (files []*ast.File) {
	tb.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "pkg", name, "*.go"))
	if err != nil {
		tb.Fatal(err)
	}
	for _, path := range paths {
		if !wanted(path) {
			continue
		}
		f, err := parser.ParseFile(a.fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			tb.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// Import implements types.Importer for the packages that were read.
func (a *api) Import(path string) (*types.Package, error) {
	if p := a.packages[path]; p != nil {
		return p, nil
	}
	return nil, errors.New("not resolved")
}

// check resolves what files use, whose other errors do not matter.
func (a *api) check(files ...*ast.File) *types.Info {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}
	conf := types.Config{Importer: a, Error: func(error) {}}
	_, _ = conf.Check("used", a.fset, files, info)
	return info
}

// exported is what a package shows: functions, types, constants, variables, and the methods of types, but for those that
// interfaces of the standard library are there for.
func (a *api) exported(name string) (all []types.Object) {
	scope := a.packages[module+"pkg/"+name].Scope()
	for _, n := range scope.Names() {
		o := scope.Lookup(n)
		if !o.Exported() {
			continue
		}
		all = append(all, o)
		named, ok := o.Type().(*types.Named)
		if _, isType := o.(*types.TypeName); !ok || !isType {
			continue
		}
		for m := range named.Methods() {
			if m.Exported() && !slices.Contains([]string{"Error", "Unwrap", "MarshalJSON"}, m.Name()) {
				all = append(all, m)
			}
		}
	}
	return all
}

// fields are the exported fields of a struct type.
func (a *api) fields(tb testing.TB, name, of string) (all []types.Object) {
	tb.Helper()
	s, ok := a.packages[module+"pkg/"+name].Scope().Lookup(of).Type().Underlying().(*types.Struct)
	if !ok {
		tb.Fatalf("%s.%s is no struct", name, of)
	}
	for f := range s.Fields() {
		if f.Exported() {
			all = append(all, f)
		}
	}
	return all
}

// title is an object as a reader knows it.
func title(o types.Object) string {
	f, ok := o.(*types.Func)
	if !ok || f.Signature().Recv() == nil {
		return o.Pkg().Name() + "." + o.Name()
	}
	t := f.Signature().Recv().Type()
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem()
	}
	named, _ := t.(*types.Named)
	return fmt.Sprintf("%s.%s.%s", o.Pkg().Name(), named.Obj().Name(), o.Name())
}
