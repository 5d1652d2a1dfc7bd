//go:build system

package relayctl

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a terminal may take to show what the page says.
const patience = 30 * time.Second

// TestTutorialProcess replays docs/tutorial.md with the real programs, in shells of their
// own. RELAYHOUSE and RELAYCTL name programs that are built already.
func TestTutorialProcess(t *testing.T) {
	page, err := os.ReadFile("../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	steps, err := parseTranscript(string(page))
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	bin := filepath.Join(home, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	gateway := program(t, home, "relayhouse")
	_ = os.Symlink(program(t, home, "relayctl"), filepath.Join(bin, "relayctl"))
	// The page has the usual ports. Here others may use them.
	script := "#!/bin/sh\nexec '" + gateway + "' \"$@\" --http 127.0.0.1:0 --https 127.0.0.1:0 " +
		"--admin 127.0.0.1:0 --management 127.0.0.1:0\n"
	if err := os.WriteFile(filepath.Join(bin, "relayhouse"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	terminals := map[string]*terminal{}
	for i := range steps {
		s := &steps[i]
		if terminals[s.terminal] == nil {
			terminals[s.terminal] = newTerminal(t, s.terminal, home, bin)
		}
		terminals[s.terminal].play(s)
	}
	for _, one := range terminals {
		one.wantPrompt(nil)
	}
}

// program returns a program of this repository.
func program(t *testing.T, dir, name string) string {
	if file := os.Getenv(strings.ToUpper(name)); file != "" {
		return file
	}
	file := filepath.Join(dir, name)
	out, err := exec.Command("go", "build", "-o", file, "../cmd/"+name).CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return file
}

// prompt is what a shell shows when a command has ended.
const prompt = "\x00prompt\n"

// terminal is a shell. What is typed goes to it, or to the program that it runs.
type terminal struct {
	t    *testing.T
	name string
	in   io.Writer
	cmd  *exec.Cmd
	// talks says that the last step may show more than was taken.
	talks bool

	mu    sync.Mutex
	shown bytes.Buffer  // What it has shown and no step has taken.
	more  chan struct{} // Holds one if shown has grown.
}

func newTerminal(t *testing.T, name, home, bin string) *terminal {
	t.Helper()
	cmd := exec.Command("bash", "--norc", "--noprofile")
	cmd.Dir = home
	cmd.Env = []string{
		"HOME=" + home, "PATH=" + bin + ":" + os.Getenv("PATH"), "TMPDIR=" + home,
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // For ^C.
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, name: name, in: in, cmd: cmd, more: make(chan struct{}, 1)}
	cmd.Stdout, cmd.Stderr = term, term
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // The group of this shell.
		_ = cmd.Wait()
	})
	term.enter("trap : INT") // ^C is for the program, not for the shell.
	return term
}

// Write takes what the shell and its programs show.
func (term *terminal) Write(p []byte) (int, error) {
	term.mu.Lock()
	defer term.mu.Unlock()
	n, err := term.shown.Write(p)
	select {
	case term.more <- struct{}{}:
	default:
	}
	return n, err
}

// enter types a command, and has the shell show when it has ended. It is one line:
// the next one would be for the program.
func (term *terminal) enter(command string) {
	term.typed(command + "; printf '\\000prompt\\n'\n")
}

func (term *terminal) typed(text string) {
	if _, err := io.WriteString(term.in, text); err != nil {
		term.t.Fatalf("terminal %s: %v", term.name, err)
	}
}

// play does a step and waits for its output; also for the end of a command if
// another one follows it in its block, or nothing does and it shows nothing.
func (term *terminal) play(s *step) {
	term.t.Helper()
	term.t.Logf("%s: %s %s", term.name, s.kind, s.typed)
	switch s.kind {
	case "$":
		term.wantPrompt(s)
		term.enter(s.typed)
	case "<":
		term.typed(s.typed + "\n")
	case "^C":
		_ = syscall.Kill(-term.cmd.Process.Pid, syscall.SIGINT)
	}
	mustEnd := s.kind == "^C" ||
		s.kind == "$" && (s.next == "$" || s.next == "end" && len(s.output) == 0)
	pattern := s.pattern()
	if term.talks {
		pattern = regexp.MustCompile(`\A(?:.*\n)*?` + strings.TrimPrefix(pattern.String(), `\A`))
	}
	term.wait(s, strings.Join(s.output, "\n"), func(shown string) (taken int, ok bool) {
		text, _, ended := strings.Cut(shown, prompt)
		return len(text), (ended || !mustEnd) && pattern.MatchString(text)
	})
	term.talks = len(s.output) > 0 && s.output[len(s.output)-1] == "…"
}

// wantPrompt waits until the shell has nothing to do, and nothing else to show.
func (term *terminal) wantPrompt(s *step) {
	term.t.Helper()
	term.wait(s, "a prompt", func(shown string) (taken int, ok bool) {
		return len(shown), shown == prompt
	})
}

// wait waits until ok says so of what is shown, and takes that many bytes of it.
func (term *terminal) wait(s *step, what string, ok func(shown string) (taken int, ok bool)) {
	term.t.Helper()
	at := "the end"
	if s != nil {
		at = fmt.Sprintf("docs/tutorial.md:%d", s.line)
	}
	end := time.NewTimer(patience)
	defer end.Stop()
	for {
		term.mu.Lock()
		shown := term.shown.String()
		taken, done := ok(shown)
		if done {
			term.shown.Next(taken)
		}
		term.mu.Unlock()
		if done {
			return
		}
		select {
		case <-term.more:
		case <-end.C:
			term.t.Fatalf("%s: terminal %s shows\n%s\n%[3]q\nand should show\n%s", at, term.name,
				shown, what)
		}
	}
}
