package namespacestore

import "fmt"

// fullError names the limit, so that an operator can find it.
func fullError(setting string, most int) error {
	return fmt.Errorf("%w: %s is %d", ErrFull, setting, most)
}
