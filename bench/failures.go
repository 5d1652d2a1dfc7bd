package bench

import (
	"fmt"
	"sort"
	"sync"
)

// failureTexts is how many different texts are kept; further ones are counted
// under one common text.
const failureTexts = 8

// failures counts what went wrong, by text. Safe for concurrent use.
type failures struct {
	mu    sync.Mutex
	total int
	texts map[string]int
	early string
}

func (f *failures) add(err error) { f.addText(err.Error(), 1) }

func (f *failures) addf(format string, args ...any) {
	f.addText(fmt.Sprintf(format, args...), 1)
}

func (f *failures) addText(text string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.texts == nil {
		f.texts = map[string]int{}
	}
	if f.early == "" {
		f.early = text
	}
	f.total += n
	if _, known := f.texts[text]; !known && len(f.texts) >= failureTexts {
		text = "other failures"
	}
	f.texts[text] += n
}

// first is the text of the first failure, "no reason known" without one.
func (f *failures) first() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.early == "" {
		return "no reason known"
	}
	return f.early
}

func (f *failures) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.total
}

// merge adds everything that o has counted.
func (f *failures) merge(o *failures) {
	o.mu.Lock()
	texts, total := o.texts, o.total
	o.mu.Unlock()
	if total == 0 {
		return
	}
	for text, n := range texts {
		f.addText(text, n)
	}
}

// take returns what was counted, by text, and forgets it.
func (f *failures) take() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	texts := f.texts
	f.total, f.texts, f.early = 0, nil, ""
	return texts
}

// list returns "text (n times)" in the order of their number.
func (f *failures) list() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var texts []string
	for text := range f.texts {
		texts = append(texts, text)
	}
	sort.Slice(texts, func(i, j int) bool {
		a, b := f.texts[texts[i]], f.texts[texts[j]]
		return a > b || a == b && texts[i] < texts[j]
	})
	for i, text := range texts {
		if n := f.texts[text]; n > 1 {
			texts[i] = fmt.Sprintf("%s (%d times)", text, n)
		}
	}
	return texts
}
