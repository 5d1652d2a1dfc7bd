package engine

// wheelSlots is the number of slots of a wheel; a deadline further away goes
// round. 512 slots of 1 s cover every default limit but the token's.
const wheelSlots = 512

// wheel is a hashed timer wheel of connections: one deadline each, links
// inside the Conn, no allocation, O(1) to set and to clear. Deadlines are in
// ticks of the loop's clock and fire up to one tick late, never early.
type wheel struct {
	slots [wheelSlots]*Conn
	now   uint32 // the tick that was handled last
}

// set arms c for the tick deadline, or moves it there. A connection that is
// armed for an earlier tick is only given the new one and stays in its slot:
// moving it is left to that slot's turn.
func (w *wheel) set(c *Conn, deadline uint32) {
	if deadline <= w.now {
		deadline = w.now + 1
	}
	c.deadline = deadline
	if c.inWheel {
		if c.slot <= deadline {
			return
		}
		w.unlink(c)
	}
	w.link(c, deadline)
}

// link puts c into the slot of deadline, or into the last slot of the round
// when that is further away. No slot ever holds two rounds, and none armed
// while a slot fires can land in it.
func (w *wheel) link(c *Conn, deadline uint32) {
	c.slot = min(deadline, w.now+wheelSlots-1)
	c.inWheel = true
	head := &w.slots[c.slot%wheelSlots]
	c.timerNext, c.timerPrev = *head, nil
	if *head != nil {
		(*head).timerPrev = c
	}
	*head = c
}

func (w *wheel) unlink(c *Conn) {
	if c.timerPrev != nil {
		c.timerPrev.timerNext = c.timerNext
	} else {
		w.slots[c.slot%wheelSlots] = c.timerNext
	}
	if c.timerNext != nil {
		c.timerNext.timerPrev = c.timerPrev
	}
	c.timerNext, c.timerPrev, c.inWheel = nil, nil, false
}

// clear disarms c. It costs nothing when c is not armed.
func (w *wheel) clear(c *Conn) {
	c.deadline = 0
	if c.inWheel {
		w.unlink(c)
	}
}

// advance moves the clock to tick and calls fire, once, for each connection
// whose deadline has come; fire may set, clear or drop any connection.
func (w *wheel) advance(tick uint32, fire func(*Conn)) {
	for w.now < tick {
		w.now++
		for head := &w.slots[w.now%wheelSlots]; *head != nil; {
			c := *head
			w.unlink(c)
			if c.deadline > w.now {
				w.link(c, c.deadline)
				continue
			}
			c.deadline = 0
			fire(c)
		}
	}
}
