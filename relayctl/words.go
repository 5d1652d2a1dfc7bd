package relayctl

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// az has flags with several words after them (--rights Listen Send) and flags whose
// only word may be left out (-c, -c false). pflag has neither, so such flags are marked, and
// foldWords writes the command line in a way that pflag understands.
const (
	wordsAnnotation = "relayctl_words"
	manyWords       = "many"
	maybeTruth      = "truth" // true if the word is left out
)

func markWords(f *pflag.FlagSet, name, how string) {
	_ = f.SetAnnotation(name, wordsAnnotation, []string{how}) // The flag exists.
}

// foldWords rewrites the flags of args that are marked: one --flag=word for each
// word, and --flag=true for a truth without a word. Args that no command would
// understand stay as they are.
func foldWords(root *cobra.Command, args []string) []string {
	cmd, _, err := root.Find(args)
	if err != nil {
		return args
	}
	var folded []string
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return append(folded, args[i:]...)
		}
		flag := flagOf(cmd, args[i])
		switch how := howManyWords(flag); {
		case how == manyWords:
			if i+1 == len(args) || isFlag(args[i+1]) {
				folded = append(folded, args[i]) // pflag will ask for an argument.
			}
			for i+1 < len(args) && !isFlag(args[i+1]) {
				i++
				folded = append(folded, "--"+flag.Name+"="+args[i])
			}
		case how == maybeTruth:
			word := "true"
			if i+1 < len(args) && isTruth(args[i+1]) {
				i++
				word = args[i]
			}
			folded = append(folded, "--"+flag.Name+"="+word)
		case flag != nil && flag.NoOptDefVal == "" && i+1 < len(args):
			i++
			folded = append(folded, args[i-1], args[i]) // Its value, whatever it looks like.
		default:
			folded = append(folded, args[i])
		}
	}
	return folded
}

// flagOf returns the flag that arg is, without a value in it; nil for all else.
func flagOf(cmd *cobra.Command, arg string) *pflag.Flag {
	if name, ok := strings.CutPrefix(arg, "--"); ok {
		return cmd.Flag(name)
	}
	if len(arg) != 2 || arg[0] != '-' {
		return nil
	}
	if f := cmd.Flags().ShorthandLookup(arg[1:]); f != nil {
		return f
	}
	return cmd.InheritedFlags().ShorthandLookup(arg[1:])
}

func howManyWords(f *pflag.Flag) string {
	if f == nil || len(f.Annotations[wordsAnnotation]) == 0 {
		return ""
	}
	return f.Annotations[wordsAnnotation][0]
}

func isFlag(arg string) bool { return len(arg) > 1 && arg[0] == '-' }

// truths are the words for yes and no that az takes.
var truths = map[string]bool{
	"true": true, "t": true, "yes": true, "y": true, "1": true,
	"false": false, "f": false, "no": false, "n": false, "0": false,
}

func isTruth(word string) bool {
	_, ok := truths[strings.ToLower(word)]
	return ok
}

// truth is a flag that is true, false or not given. It is a pflag.Value.
type truth struct{ given, value bool }

func (t *truth) Set(text string) error {
	if !isTruth(text) {
		return usage("want true or false")
	}
	t.given, t.value = true, truths[strings.ToLower(text)]
	return nil
}

func (t *truth) String() string {
	switch {
	case !t.given:
		return ""
	case t.value:
		return "true"
	}
	return "false"
}

func (*truth) Type() string { return "true|false" }

// register gives f the flag, with a shorthand that may be empty.
func (t *truth) register(f *pflag.FlagSet, name, short, help string) {
	f.VarP(t, name, short, help)
	markWords(f, name, maybeTruth)
}

// wordList is a flag that takes several words, in one place or in several. It is a
// pflag.Value. check may be nil; it says what is wrong with a word.
type wordList struct {
	given bool
	words []string
	kind  string // For the help text.
	split bool   // At commas.
	check func(word string) error
}

func (l *wordList) Set(text string) error {
	l.given = true
	words := []string{text}
	if l.split {
		words = strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	}
	for _, word := range words {
		if word == "" {
			continue // --tags "" takes all away, as in az.
		}
		if l.check != nil {
			if err := l.check(word); err != nil {
				return err
			}
		}
		l.words = append(l.words, word)
	}
	return nil
}

func (l *wordList) String() string { return strings.Join(l.words, " ") }
func (l *wordList) Type() string   { return l.kind }

func (l *wordList) register(f *pflag.FlagSet, name, help string) {
	f.Var(l, name, help)
	markWords(f, name, manyWords)
}
