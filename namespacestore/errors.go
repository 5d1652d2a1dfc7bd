package namespacestore

import (
	"errors"
	"fmt"
	"os"

	bbolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// What OpenBolt returns beside the errors of the file.
var (
	// ErrLocked: another process has the file open.
	ErrLocked = errors.New("another process has the file open")
	// ErrSchema: the file is no namespace store, or a newer one.
	ErrSchema = errors.New("not a namespace store of this version")
	// ErrMasterKey: the master key is missing, malformed or another one.
	ErrMasterKey = errors.New("master key")
)

// ErrElsewhere is an ErrUnavailable that ends by itself: a process that takes
// this one's place has the file.
var ErrElsewhere = errors.New("the process that takes this one's place has it; try again")

var errClosed = errors.New("it is closed")

// fullError names the limit, so that an operator can find it.
func fullError(setting string, most int) error {
	return fmt.Errorf("%w: %s is %d", ErrFull, setting, most)
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }

func masterKeyError(err error) error { return fmt.Errorf("%w: %w", ErrMasterKey, err) }

func isReadOnly(err error) bool { return errors.Is(err, unix.EROFS) }

// openError says in words what bbolt found.
func openError(file string, err error) error {
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return fmt.Errorf("%s: %w", file, ErrLocked)
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrChecksum),
		errors.Is(err, bbolterrors.ErrVersionMismatch):
		return fmt.Errorf("%s: %w: %w", file, ErrSchema, err)
	}
	var path *os.PathError
	if errors.As(err, &path) {
		return err // it names the file
	}
	return fmt.Errorf("%s: %w", file, err)
}
