package deploy

import (
	"bufio"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// root is the top of the repository, from this directory.
const root = ".."

// instruction is one line of a Dockerfile, its continuations included.
type instruction struct {
	stage string // the name of the build stage, "" in the last one
	name  string // RUN, COPY, …
	args  string
}

// readDockerfile returns the instructions of the Dockerfile.
func readDockerfile(tb testing.TB) []instruction {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		tb.Fatal(err)
	}
	var out []instruction
	stage := ""
	sc := bufio.NewScanner(strings.NewReader(strings.ReplaceAll(string(text), "\\\n", " ")))
	for sc.Scan() {
		line := strings.TrimSpace(sc.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, args, _ := strings.Cut(line, " ")
		if name == "FROM" {
			_, stage, _ = strings.Cut(args, " AS ")
		}
		out = append(out, instruction{stage: stage, name: name, args: strings.TrimSpace(args)})
	}
	return out
}

// image is what the Dockerfile makes, built into directories of this machine.
type image struct {
	entrypoint []string
	user       string
	env        []string
	copies     []imageCopy
}

// imageCopy is a directory of the image and where its content is on this machine.
type imageCopy struct{ in, host string }

// buildImage runs the commands of the Dockerfile's build stage in a temporary copy of the repository.
func buildImage(tb testing.TB) image {
	tb.Helper()
	src, out := filepath.Join(tb.TempDir(), "src"), tb.TempDir()
	copyContext(tb, src)
	// Where the paths of each stage are on this machine. The client stage installs what is installed here already.
	stages := map[string]*strings.Replacer{
		"build":  strings.NewReplacer("/out/", out+"/"),
		"client": strings.NewReplacer("/src/", root+"/"),
	}
	var img image
	builds := 0
	for _, in := range readDockerfile(tb) {
		switch {
		case in.stage == "build" && in.name == "RUN" && in.args != "go mod download": // this test runs on the same modules
			if strings.Contains(in.args, "go build") {
				builds++
			}
			runShell(tb, src, stages["build"].Replace(in.args))
		case in.stage != "":
		case in.name == "COPY":
			img.copies = append(img.copies, parseCopy(tb, in.args, stages))
		case in.name == "ENV":
			img.env = append(img.env, strings.Fields(in.args)...)
		case in.name == "USER":
			img.user = in.args
		case in.name == "ENTRYPOINT":
			if err := json.Unmarshal([]byte(in.args), &img.entrypoint); err != nil {
				tb.Fatalf("entrypoint %s: %v", in.args, err)
			}
		}
	}
	if builds == 0 || len(img.entrypoint) == 0 {
		tb.Fatalf("the Dockerfile has %d build commands and the entrypoint %q", builds, img.entrypoint)
	}
	return img
}

// parseCopy reads COPY --from=STAGE [--chown=…] SOURCE/ DESTINATION/.
func parseCopy(tb testing.TB, args string, stages map[string]*strings.Replacer) imageCopy {
	tb.Helper()
	var stage string
	var paths []string
	for _, word := range strings.Fields(args) {
		if from, ok := strings.CutPrefix(word, "--from="); ok {
			stage = from
		} else if !strings.HasPrefix(word, "--") {
			paths = append(paths, word)
		}
	}
	if len(paths) != 2 || !strings.HasSuffix(paths[0], "/") || !strings.HasSuffix(paths[1], "/") || stages[stage] == nil {
		tb.Fatalf("COPY %s: want one directory of another stage", args)
	}
	return imageCopy{in: paths[1], host: stages[stage].Replace(paths[0])}
}

// hostPath returns where a path of the image is on this machine; paths that the image's base brings stay as they are.
func (img image) hostPath(path string) string {
	for _, c := range img.copies {
		if rest, ok := strings.CutPrefix(path+"/", c.in); ok {
			return filepath.Join(c.host, rest)
		}
	}
	return path
}

// hostEnv returns the image's environment with paths of this machine.
func (img image) hostEnv() []string {
	env := make([]string, len(img.env))
	for i, e := range img.env {
		name, value, _ := strings.Cut(e, "=")
		env[i] = name + "=" + img.hostPath(value)
	}
	return env
}

// copyContext copies what a build sees of the repository: everything that .dockerignore leaves.
func copyContext(tb testing.TB, to string) {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(root, ".dockerignore"))
	if err != nil {
		tb.Fatal(err)
	}
	ignored := func(path string) bool {
		for _, pattern := range strings.Fields(string(text)) {
			name := path
			if p, ok := strings.CutPrefix(pattern, "**/"); ok {
				pattern, name = p, filepath.Base(path)
			}
			if match, err := filepath.Match(pattern, name); err != nil || match {
				return true
			}
		}
		return false
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && ignored(rel):
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		case !d.Type().IsRegular() || ignored(rel):
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), content, 0o644)
	})
	if err != nil {
		tb.Fatalf("copy the build context: %v", err)
	}
}

// runShell runs a command in a directory, and fails the test with its output if it fails.
func runShell(tb testing.TB, dir, command string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%s: %v\n%s", command, err, out)
	}
}
