package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A goPackage is the Go files of one directory, and which declarations use which. It is type-checked without what it
// imports: that resolves every name that is declared in the directory, which is all a citation needs.
type goPackage struct {
	dir   string
	fset  *token.FileSet
	files []*ast.File
	info  types.Info
	users map[types.Object][]*declaration
}

// A declaration is one function, method, or line of const, var or type, at the top level of a file.
type declaration struct {
	begin, end token.Pos // comments included
	objects    []types.Object
	test       string // the name, if it is a test function
}

// readPackage adds the citations of the tests in one directory.
func (c *catalogue) readPackage(root, dir string, cite citations) error {
	p, err := parsePackage(root, dir)
	if err != nil {
		return err
	}
	declared := map[*ast.File][]*declaration{}
	for _, f := range p.files {
		declared[f] = p.declarations(f)
	}
	for _, f := range p.files {
		if !strings.HasSuffix(p.fset.Position(f.FileStart).Filename, "_test.go") {
			continue
		}
		for _, x := range texts(f) {
			numbers, problems := cite.in(x.text)
			at := p.fset.Position(x.pos)
			where := fmt.Sprintf("%s:%d", relative(root, at.Filename), at.Line)
			for _, problem := range problems {
				c.problem(where, "%s", problem)
			}
			if len(numbers) == 0 {
				continue
			}
			tests, direct := p.testsOf(declared[f], x.pos)
			if len(tests) == 0 {
				c.problem(where, "%s is cited where no test function leads", numbers[0])
			}
			for _, n := range numbers {
				c.add(n, direct, tests...)
			}
		}
	}
	return nil
}

// parsePackage reads the directory and resolves its names.
func parsePackage(root, dir string) (*goPackage, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	p := &goPackage{
		dir:   relative(root, dir),
		fset:  token.NewFileSet(),
		info:  types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}},
		users: map[types.Object][]*declaration{},
	}
	var inside, outside []*ast.File
	for _, name := range names {
		f, err := parser.ParseFile(p.fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(f.Name.Name, "_test") {
			outside = append(outside, f)
		} else {
			inside = append(inside, f)
		}
	}
	p.files = append(inside, outside...)
	imports := &sibling{dir: p.dir}
	conf := types.Config{Importer: imports, Error: func(error) {}} // what is imported is missing, so there are many errors
	if len(inside) > 0 {
		imports.inside, _ = conf.Check(inside[0].Name.Name, p.fset, inside, &p.info)
	}
	_, _ = conf.Check("test", p.fset, outside, &p.info)
	return p, nil
}

// A sibling gives the external tests of a directory the package they are about, and nobody anything else.
type sibling struct {
	dir    string
	inside *types.Package
}

func (s *sibling) Import(path string) (*types.Package, error) {
	if s.inside != nil && strings.HasSuffix(path, "/"+s.dir) {
		return s.inside, nil
	}
	return nil, errors.New("not resolved")
}

// declarations lists those of a file, and notes what each uses.
func (p *goPackage) declarations(f *ast.File) []*declaration {
	var all []*declaration
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			x := &declaration{begin: begin(d, d.Doc), end: d.End()}
			if d.Recv == nil && isTest(d.Name.Name) {
				x.test = d.Name.Name
			}
			all = append(all, p.declare(x, d, d.Name))
		case *ast.GenDecl:
			for i, spec := range d.Specs {
				x := &declaration{begin: spec.Pos(), end: spec.End()}
				if i == 0 {
					x.begin = begin(d, d.Doc)
				}
				switch s := spec.(type) {
				case *ast.ValueSpec:
					x.begin = min(x.begin, begin(s, s.Doc))
					all = append(all, p.declare(x, s, s.Names...))
				case *ast.TypeSpec:
					x.begin = min(x.begin, begin(s, s.Doc))
					all = append(all, p.declare(x, s, s.Name))
				}
			}
		}
	}
	return all
}

func begin(n ast.Node, doc *ast.CommentGroup) token.Pos {
	if doc != nil {
		return doc.Pos()
	}
	return n.Pos()
}

// isTest says whether `go test` runs the function on its own. TestMain runs around all of them.
func isTest(name string) bool {
	for _, prefix := range []string{"Test", "Fuzz", "Example"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			r, _ := utf8.DecodeRuneInString(rest)
			return rest == "" || !unicode.IsLower(r)
		}
	}
	return false
}

// declare notes the names that x declares, and the objects that n uses.
func (p *goPackage) declare(x *declaration, n ast.Node, names ...*ast.Ident) *declaration {
	for _, name := range names {
		if o := p.info.Defs[name]; o != nil {
			x.objects = append(x.objects, o)
		}
	}
	ast.Inspect(n, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			switch o := p.info.Uses[id].(type) {
			case *types.Func:
				p.users[o.Origin()] = append(p.users[o.Origin()], x)
			case *types.Var, *types.Const, *types.TypeName:
				p.users[o] = append(p.users[o], x)
			}
		}
		return true
	})
	return x
}

// testsOf finds the test functions that stand for what is written at pos: the one around it, or those that come to use the
// declaration around it by whatever way. Direct is the former.
func (p *goPackage) testsOf(declared []*declaration, pos token.Pos) (tests []test, direct bool) {
	var todo []*declaration
	for _, d := range declared {
		if d.begin <= pos && (pos < d.end || p.line(pos) == p.line(d.end)) {
			todo = append(todo, d)
			direct = d.test != ""
		}
	}
	seen := map[*declaration]bool{}
	for len(todo) > 0 {
		d := todo[0]
		todo = todo[1:]
		if seen[d] {
			continue
		}
		seen[d] = true
		switch d.test {
		case "":
			for _, o := range d.objects {
				todo = append(todo, p.users[o]...)
			}
		case "TestMain":
			tests = append(tests, test{dir: p.dir})
		default:
			tests = append(tests, test{p.dir, d.test})
		}
	}
	return tests, direct
}

func (p *goPackage) line(pos token.Pos) int { return p.fset.Position(pos).Line }

// A passage is a comment or a string of a file.
type passage struct {
	pos  token.Pos
	text string
}

// texts lists the passages of a file. A comment of several lines is one.
func texts(f *ast.File) []passage {
	var all []passage
	for _, g := range f.Comments {
		all = append(all, passage{g.Pos(), g.Text()})
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				all = append(all, passage{lit.Pos(), s})
			}
		}
		return true
	})
	return all
}
