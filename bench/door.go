package bench

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
)

// A target that only forwards connections knows no listeners: it dials a fixed
// address for each connection that it takes. The driver listens there, at its
// door, and plays the listener of every pair on what comes in. The handshake
// passes through the target, as HTTP or as any bytes, and tells by the number in
// its query which pair it belongs to. Frames stay masked in both directions,
// because nobody between the two ends unmasks them.

// driversBegun tells the pairs of one driver from those of all others, whose
// connections may still be on their way to the same door.
var driversBegun atomic.Uint64

// upgradedHead answers every handshake: all have the same key.
var upgradedHead = []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" +
	"Connection: Upgrade\r\nSec-WebSocket-Accept: " + handshakeAccept + "\r\n\r\n")

// openDoor begins to take the connections that come in.
func (d *driver) openDoor() error {
	fd, err := duplicateFD(d.forwardedTo)
	if err != nil {
		return fmt.Errorf("open the door: %w", err)
	}
	d.door, d.arrived = fd, d.arrivedAt
	d.nextPair = driversBegun.Add(1) << 32
	if err := d.poll.watch(fd, true, false, true); err != nil {
		return fmt.Errorf("open the door: %w", err)
	}
	return nil
}

// arrivedAt takes one connection.
func (d *driver) arrivedAt(fd int) error {
	c, err := d.adopt(fd, nobody{})
	if err == nil {
		c.arrival = d.answer
	}
	return err
}

// answer makes c the listener's connection of the pair that its head names. One
// of a pair that nobody waits for is left over from an earlier load.
func (d *driver) answer(c *conn, head string) error {
	_, number, _ := strings.Cut(head, pairParameter)
	end := strings.IndexFunc(number, func(r rune) bool { return r < '0' || r > '9' })
	id, err := strconv.ParseUint(number[:max(end, 0)], 10, 64)
	if err != nil {
		return fmt.Errorf("a connection came in whose head names no pair: %.60q", head)
	}
	p := d.waiting[id]
	if p == nil {
		return fmt.Errorf("a connection came in for pair %d, which does not wait", id)
	}
	delete(d.waiting, id)
	p.listener, c.owner = c, p
	c.rx.masked = true
	c.send(upgradedHead)
	return nil
}

// nobody owns a connection that has not said yet which pair it belongs to.
type nobody struct{}

func (nobody) opened(*conn)        {}
func (nobody) received(*conn, int) {}
func (nobody) drained(*conn)       {}
func (nobody) lost(*conn, error)   {}
