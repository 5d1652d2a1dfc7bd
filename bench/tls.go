package bench

import (
	"fmt"
)

// runTLSBulk measures one stream as b1 does, over what clients use to reach the
// target; where that is TLS, over its older version, too.
func runTLSBulk(t *trial) error {
	if err := runStream(t, "", 64<<10, 1); err != nil {
		return err
	}
	return t.inMode(tlsOld, func() error { return runStream(t, "TLS 1.2: ", 64<<10, 1) })
}

// runTLSSetUps measures set-ups as b6 does: with full handshakes, with resumed
// ones, and with full ones of the older version.
func runTLSSetUps(t *trial) error {
	if err := runSetUpsAtOnce(t, "", t.size.tlsAtOnce); err != nil {
		return err
	}
	err := t.inMode(tlsResumed, func() error {
		return runSetUpsAtOnce(t, "resumed: ", t.size.tlsAtOnce)
	})
	if err != nil {
		return err
	}
	return t.inMode(tlsOld, func() error {
		return runSetUpsAtOnce(t, "TLS 1.2: ", t.size.tlsAtOnce)
	})
}

// inMode runs f with other handshakes; not at all where there are none.
func (t *trial) inMode(m tlsMode, f func() error) error {
	if !t.gw.secure {
		return nil
	}
	before := t.mode
	t.mode = m
	err := f()
	t.mode = before
	if err != nil {
		return fmt.Errorf("%v: %w", m, err)
	}
	return nil
}

// noteHandshakes says what the handshakes of the trial have come to.
func (t *trial) noteHandshakes() {
	for _, h := range t.handshakes {
		if h.done == 0 {
			continue
		}
		t.note("negotiated %s", h)
		if h.others > 0 {
			t.failures.addText("TLS: a handshake came to other parameters than the first", h.others)
		}
	}
}
