package config

import "strings"

const (
	// keyFileBytesMax bounds file:PATH; real keys have 44 characters.
	keyFileBytesMax = 4 * kib
	// keyMask is what Print writes for a key, and what must not become one.
	keyMask = "***"

	// What a key begins with that is not the key itself. literalPrefix is for
	// keys that begin with one of the others.
	envPrefixOfKey  = "env:"
	filePrefixOfKey = "file:"
	literalPrefix   = "literal:"
)

// key returns a key that is given as it is, as env:NAME, as file:PATH or as
// literal:KEY. Errors name the place, never the key.
func (r *namespaceReader) key(n *node, path string) string {
	text := r.text(n, path)
	if key, ok := strings.CutPrefix(text, literalPrefix); ok {
		return key
	}
	name, isEnv := strings.CutPrefix(text, envPrefixOfKey)
	file, isFile := strings.CutPrefix(text, filePrefixOfKey)
	switch {
	case (isEnv || isFile) && r.env == nil:
		r.fail(path, n.line, "want the key itself; env: and file: are for files of the operator")
	case isEnv:
		key, set := r.env[name]
		switch {
		case !set:
			r.fail(path, n.line, "environment variable %s is not set", name)
		case key == "":
			r.fail(path, n.line, "environment variable %s is empty", name)
		}
		return key
	case isFile:
		b, err := readFile(file, keyFileBytesMax)
		r.files[file] = sumOf(b, err)
		key := strings.TrimRight(string(b), "\r\n")
		switch {
		case err != nil:
			r.fail(path, n.line, "%v", err)
		case key == "":
			r.fail(path, n.line, "file %s is empty", file)
		}
		return key
	case text == keyMask:
		r.fail(path, n.line, "%s is how keys are printed; write the key, env:NAME or file:PATH",
			keyMask)
	}
	return text
}

// writtenKey is the text that key reads as k.
func writtenKey(k string) string {
	for _, prefix := range []string{envPrefixOfKey, filePrefixOfKey, literalPrefix} {
		if strings.HasPrefix(k, prefix) {
			return literalPrefix + k
		}
	}
	if k == keyMask {
		return literalPrefix + k
	}
	return k
}
