package floor

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

//go:embed src/floor.c
var source []byte

// ErrNoCompiler says that the machine has no C compiler.
var ErrNoCompiler = errors.New("no C compiler: install gcc, or name one with CC")

// flags let the compiler do its best, for this processor.
var flags = []string{"-std=gnu11", "-O3", "-march=native", "-Wall", "-Wextra"}

// compilers are the names under which to look, behind that of CC. Tests replace
// them.
var compilers = []string{"cc", "gcc", "clang"}

// Build compiles the floor into dir, unless it is there already, and returns the
// path of the binary. Its name tells the source, the flags and the compiler.
//
//	Errors: ErrNoCompiler; else what the compiler said.
func Build(ctx context.Context, dir string) (string, error) {
	if runtime.GOOS != "linux" {
		return "", fmt.Errorf("build floor: it runs on Linux only, not on %s", runtime.GOOS)
	}
	compiler, err := findCompiler()
	if err != nil {
		return "", fmt.Errorf("build floor: %w", err)
	}
	version, err := exec.CommandContext(ctx, compiler, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("build floor: %s --version: %w", compiler, err)
	}
	sum := sha256.New()
	for _, part := range [][]byte{source, []byte(strings.Join(flags, " ")), version} {
		sum.Write(part)
		sum.Write([]byte{0})
	}
	path := filepath.Join(dir, "floor-"+hex.EncodeToString(sum.Sum(nil)[:6]))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("build floor: %w", err)
	}
	return path, compile(ctx, compiler, path)
}

func findCompiler() (string, error) {
	if named := os.Getenv("CC"); named != "" {
		return exec.LookPath(named)
	}
	for _, name := range compilers {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNoCompiler
}

// compile makes path whole or not at all, though others may build it at the
// same time.
func compile(ctx context.Context, compiler, path string) error {
	unfinished, err := os.CreateTemp(filepath.Dir(path), "floor-*.new")
	if err != nil {
		return fmt.Errorf("build floor: %w", err)
	}
	defer func() { _ = os.Remove(unfinished.Name()) }()
	if err := unfinished.Close(); err != nil {
		return fmt.Errorf("build floor: %w", err)
	}
	args := append(flags[:len(flags):len(flags)], "-x", "c", "-", "-o", unfinished.Name())
	cmd := exec.CommandContext(ctx, compiler, args...)
	cmd.Stdin = bytes.NewReader(source)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build floor: %s: %w: %s", compiler, err, bytes.TrimSpace(out))
	}
	if err := os.Chmod(unfinished.Name(), 0o755); err != nil {
		return fmt.Errorf("build floor: %w", err)
	}
	if err := os.Rename(unfinished.Name(), path); err != nil {
		return fmt.Errorf("build floor: %w", err)
	}
	return nil
}
