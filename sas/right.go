package sas

import (
	"strings"

	"github.com/relayhouse/relayhouse/internal/ascii"
)

// Right is a set of the three things that a rule can allow.
//
// Manage implies neither of the others in a check; a rule with Manage must
// list them (docs/protocol.md, section 6.1).
type Right uint8

// The rights.
const (
	Listen Right = 1 << iota
	Send
	Manage

	rightsAll = Listen | Send | Manage
)

// rightNames is in bit order.
var rightNames = [...]string{"Listen", "Send", "Manage"}

// Has says whether r holds all of want.
func (r Right) Has(want Right) bool { return r&want == want }

// String names the rights of the set, joined with commas: "Listen,Send". The
// empty set is "none".
func (r Right) String() string {
	switch r & rightsAll {
	case Listen:
		return rightNames[0]
	case Send:
		return rightNames[1]
	case Manage:
		return rightNames[2]
	}
	var names []string
	for i, name := range rightNames {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ",")
}

// ParseRight reads the name of one right, in any letter case.
//
//	Errors: ErrRight.
func ParseRight(name string) (Right, error) {
	for i, known := range rightNames {
		if ascii.EqualFold(name, known) {
			return 1 << i, nil
		}
	}
	return 0, ErrRight
}
