package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// installMax is how long it may take to fetch and compile a peer.
const installMax = 10 * time.Minute

// A module is a program of others in Go, pinned.
type module struct {
	path, version string
	packages      []string // below path; each is a binary
	main          string   // source of one more, called ends, that needs the module
	replace       string   // a line for go.mod that the program needs, if any
}

// install compiles the binaries of m into a directory of its own below cache,
// unless they are there, and returns it. It works in a module of its own: the
// peers never become dependencies of ours.
func (m *module) install(ctx context.Context, cache string) (string, error) {
	dir := filepath.Join(cache, filepath.Base(m.path)+"-"+m.version)
	binaries, ready := filepath.Join(dir, "bin"), filepath.Join(dir, "ready")
	text := fmt.Sprintf("module peer\n\ngo 1.26.0\n\nrequire %s %s\n", m.path, m.version)
	if m.replace != "" {
		text += "\nreplace " + m.replace + "\n"
	}
	if was, err := os.ReadFile(ready); err == nil && string(was) == text+m.main {
		return binaries, nil
	}
	if err := os.MkdirAll(binaries, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o644); err != nil {
		return "", err
	}
	args := []string{"build", "-mod=mod", "-o", binaries + "/"}
	for _, p := range m.packages {
		args = append(args, m.path+p)
	}
	if m.main != "" {
		ends := filepath.Join(dir, "ends")
		if err := os.MkdirAll(ends, 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(ends, "main.go"), []byte(m.main), 0o644); err != nil {
			return "", err
		}
		args = append(args, "./ends")
	}
	ctx, stop := context.WithTimeout(ctx, installMax)
	defer stop()
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		if len(out) > outputKept {
			out = out[len(out)-outputKept:]
		}
		return "", fmt.Errorf("go build %s@%s: %w: %s", m.path, m.version, err,
			bytes.TrimSpace(out))
	}
	return binaries, os.WriteFile(ready, []byte(text+m.main), 0o644)
}
